"""A budget in the ratios that pruners take: shares as they are, counts by what the scores have."""

from bisect import bisect_right

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ratios import Amount, share_of_count
from prunegrid.experiment.dataset import Unit
from prunegrid.pruners import Draw, MethodSpec, PruningSpec, Scores, choose_samples, find_pruners
from prunegrid.pruners.apply import token_counts
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.memory import ScoresInMemory

STEPS = 10**6  # a token count is met by a ratio of six decimals


def budget_spec(
    source: ScoresFolder | ScoresInMemory,
    method: MethodSpec,
    samples: Amount,
    tokens: Amount,
    draw: Draw,
    unit: Unit = "turn",
) -> PruningSpec:
    """The pruning by `method` that keeps this much; the scores are read only if counts ask for them.

    A count of samples is met exactly by pruners that keep max(1, floor(r n)) of n. A count of tokens is never exceeded:
    the ratio is the largest, of six decimals, with which the kept samples keep so many response tokens or fewer.
    """
    ratios = {"sample_ratio": samples.share or 1.0, "token_ratio": tokens.share or 1.0}
    spec = PruningSpec(**dict(method), **ratios, unit=unit)
    if samples.count is None and tokens.count is None:
        return spec
    scores = source.read_samples(spec.needs, unit).ordered()
    if samples.count is not None:
        spec = spec.model_copy(update={"sample_ratio": _sample_ratio(samples, len(scores))})
    if tokens.count is None:
        return spec
    available = int(scores.response_tokens.sum())
    if tokens.count > available:
        problem = f"is {tokens.text}, but the responses have {available} tokens"
        raise PrunegridError(tokens.name, problem, f"give at most {available}")
    return spec.model_copy(update={"token_ratio": _token_ratio(scores, spec, draw, tokens)})


def _sample_ratio(samples: Amount, n: int) -> float:
    assert samples.count is not None
    if samples.count > n:
        raise PrunegridError(samples.name, f"is {samples.text}, but the scores have {n} samples", f"give at most {n}")
    return share_of_count(samples.count, n)


def _token_ratio(scores: Scores, spec: PruningSpec, draw: Draw, tokens: Amount) -> float:
    """The largest ratio with which at most `tokens.count` tokens are kept: they grow with it, so bisection finds it."""
    choice, pruners = choose_samples(scores, spec, draw), find_pruners(spec.method)
    is_pair = len(pruners) == 2  # its samples do not depend on the token ratio
    kept_scores = scores.take(choice.rows)
    if choice.prompt_rank or (is_pair and not pruners[1].reads_ratio(spec.options)):
        problem = f"is {tokens.text}, but how many response tokens {spec.method} keeps is not known before"
        raise PrunegridError(tokens.name, f"{problem} it has ranked them", "give a share")

    def kept(step: int) -> int:
        ratio = step / STEPS
        if is_pair:
            return int(token_counts(kept_scores, spec.model_copy(update={"token_ratio": ratio})).sum())
        return int(choose_samples(scores, spec.model_copy(update={"token_ratio": ratio}), draw).k.sum())

    assert tokens.count is not None
    step = bisect_right(range(1, STEPS + 1), tokens.count, key=kept)
    if not step:
        least = kept(1)
        problem = f"is {tokens.text}, but {spec.method} keeps at least {least} tokens of {len(choice)} samples"
        raise PrunegridError(tokens.name, problem, f"give at least {least}, or keep fewer samples")
    return step / STEPS
