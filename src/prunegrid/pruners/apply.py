"""Apply a method to scores: the functions behind static pruning and the pruning of a mini-batch.

`choose_samples` reads per-sample columns only. `select_tokens` then reads the kept samples' tokens block by block, so
memory does not grow with them. `select` does both, for scores in memory.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Choice, Draw, KeptSamples, Rank, Ranking, Scores, SelectionArrays
from prunegrid.pruners.match import Match, match_rows
from prunegrid.pruners.method import find_pruners
from prunegrid.pruners.registry import Pruner
from prunegrid.pruners.spec import PruningSpec
from prunegrid.pruners.token_rules import TokenRules
from prunegrid.pruners.token_selection import select_tokens


def select(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None = None) -> SelectionArrays:
    """The samples and tokens of `scores` to keep: a pure function, independent of the order of the rows."""
    scores = scores.ordered()
    choice = choose_samples(scores, spec, draw, match)
    require_tokens(scores, spec)
    (selection,) = select_tokens(choice, lambda: [scores.take(choice.rows)])
    return selection


def choose_samples(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None = None) -> Choice:
    """The samples to keep, and how many tokens of each; `scores` in order of `sample_id`."""
    spec = spec.complete()
    if not len(scores):
        raise PrunegridError("the scores", "hold no samples to prune", "score a data set that has some")
    pruners = find_pruners(spec.method)
    for pruner in pruners:
        scores.require("sample", pruner.sample_columns(spec.options), pruner.name)
    if len(pruners) == 2:
        return _choose_pair(scores, spec, draw, match)
    if match:
        problem = "is a joint pruner, which cannot match the counts of another variant"
        raise PrunegridError(spec.method, problem, "match with a pair")
    (joint,) = pruners
    ratios = spec.sample_ratio, spec.token_ratio
    return _check_choice(joint, scores, joint.call(scores, draw, *ratios, options=spec.options))


def _choose_pair(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None) -> Choice:
    """The samples to keep by the first pruner's key; the second one ranks their tokens later, block by block."""
    draw = replace(draw, sample_ratio=spec.sample_ratio)
    rows, samples, details = _choose_rows(scores, spec, draw, match)  # the key of all samples is not in memory further
    tokens = match.tokens if match else None
    return replace(choose_tokens(scores, rows, samples, spec, draw, tokens), details=details)


def _choose_rows(
    scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None
) -> tuple[Ints, KeptSamples, dict[str, Any]]:
    """The rows that a pair's sample pruner keeps, what is said of each, and details."""
    first, _ = find_pruners(spec.method)
    ranking = rank_samples(scores, spec, draw)
    details = ranking.details
    if match:
        sizes = TokenRules.read(spec.options).response_sizes(scores)
        rows, matched = match_rows(ranking.key, sizes, match)
        details = details | matched
    else:
        count = ranking.count or int(ragged.keep_counts(spec.sample_ratio, np.array([len(scores)]))[0])
        rows = ragged.top_k(ranking.key, count)
    samples = KeptSamples.uniform(first.reason, len(rows))
    if ranking.weight is not None:
        samples = replace(samples, weight=ranking.weight[rows].astype(np.float32))
    return rows, samples, details


def rank_samples(scores: Scores, spec: PruningSpec, draw: Draw) -> Ranking:
    """What a pair's sample pruner says of every sample; `scores` in order of `sample_id`."""
    spec, (first, _) = spec.complete(), find_pruners(spec.method)
    draw = replace(draw, sample_ratio=spec.sample_ratio)
    return _check_ranking(first, first.call(scores, draw, options=spec.options), len(scores))


def choose_tokens(
    scores: Scores, rows: Ints, samples: KeptSamples, spec: PruningSpec, draw: Draw, tokens: int | None = None
) -> Choice:
    """A pair's choice of the tokens of the samples `rows`: `tokens` in all, or the share that `spec` says."""
    spec = spec.complete()
    _, second = find_pruners(spec.method)
    rules = TokenRules.read(spec.options)
    rank, prompt_rank = token_ranks(spec, draw)
    pooled = second.shared_budget or rules.pool == "batch"
    return Choice(
        rows=rows,
        k=token_counts(scores.take(rows), spec, tokens),
        rank=rank,
        samples=samples,
        pool=np.zeros(len(rows), np.int64) if pooled else None,
        least=int(second.shared_budget),
        end_token=rules.end_token,
        prompt_rank=prompt_rank,
    )


def token_ranks(spec: PruningSpec, draw: Draw) -> tuple[Rank, Rank | None]:
    """How the method ranks the tokens of a block, and the prompts' candidates if they compete: by the block alone.

    `spec` is complete. Refused for a joint pruner that declares no `rank`.
    """
    pruner, options, is_pair = find_pruners(spec.method)[-1], spec.options, len(find_pruners(spec.method)) == 2
    rules = TokenRules.read(options)
    draw = replace(draw, sample_ratio=spec.sample_ratio) if is_pair else draw
    prompt_keys = pruner.prompt_keys(options) if is_pair and rules.candidates == "sequence" else None
    if not is_pair:
        pruner.check_rank()

    def rank(block: Scores) -> Floats:
        returned = pruner.call(block, draw, options=options) if is_pair else pruner.call_rank(block, draw, options)
        key = _check_key(pruner, returned, int(block.offsets[-1]))
        return key if not is_pair or pruner.reads_ratio(options) else np.where(key > 0, key, -np.inf)

    return rank, (lambda block: prompt_keys(block, draw)) if prompt_keys else None


def token_counts(kept: Scores, spec: PruningSpec, tokens: int | None = None) -> Ints:
    """How many tokens a pair keeps of each kept sample [m]; where samples share a pool, only the sum matters."""
    rules, (_, second) = TokenRules.read(spec.options), find_pruners(spec.method)
    if rules.candidates == "sequence" and kept.turns is not None:
        problem = "is sequence, but the unit is conversation, whose prompts are not counted apart"
        raise PrunegridError("candidates", problem, "set unit: turn, or candidates: response")
    if not second.reads_ratio(spec.options):
        return rules.sizes(kept)
    return rules.counts(kept, spec.token_ratio) if tokens is None else rules.matched(kept, tokens)


def _check_ranking(pruner: Pruner, returned: Any, size: int) -> Ranking:
    """What a sample pruner returned, with its key checked; refused unless weights and number are possible."""
    if not isinstance(returned, Ranking):
        return Ranking(_check_key(pruner, returned, size))
    weight, count = returned.weight, returned.count
    if weight is not None:
        weight = _check_key(pruner, weight, size)
        if not (weight > 0).all():
            raise PrunegridError(f"pruner {pruner.name}", "returned a weight that is not positive", "return w > 0")
    if count is not None and not 1 <= count <= size:
        raise PrunegridError(f"pruner {pruner.name}", f"returned the count {count}", f"return one from 1 to {size}")
    return Ranking(_check_key(pruner, returned.key, size), weight, count, returned.details)


def _check_key(pruner: Pruner, returned: Any, size: int) -> Floats:
    """A pruner's key in float64; refused unless it is `size` finite numbers."""
    source, fix = f"pruner {pruner.name}", f"return {size} finite numbers"
    try:
        key = np.asarray(returned)
        real = key.dtype.kind in "fiub" and bool(np.isfinite(key).all())
    except (TypeError, ValueError):
        raise PrunegridError(source, "returned no array", fix) from None
    if key.shape != (size,):
        raise PrunegridError(source, f"returned values of shape {key.shape}, {key.dtype}", fix)
    if not real:
        raise PrunegridError(source, "returned values that are not finite numbers", fix)
    return key.astype(np.float64, copy=False)


def _check_choice(pruner: Pruner, scores: Scores, choice: Any) -> Choice:
    """A joint pruner's choice; refused unless its rows and counts are possible. Each key is checked when it is made."""
    source = f"pruner {pruner.name}"
    if not isinstance(choice, Choice):
        raise PrunegridError(source, f"returned a {type(choice).__name__}", "return a Choice")
    rows, k = np.asarray(choice.rows), np.asarray(choice.k)
    if not (len(rows) and rows.min() >= 0 and rows.max() < len(scores) and np.all(np.diff(rows) > 0)):
        finding = f"kept no rows, or rows that are not ascending or not among the {len(scores)} samples"
        raise PrunegridError(source, finding, "return ascending row numbers")
    lengths = scores.response_tokens[rows]
    is_apart = np.ones(len(rows), np.bool_) if choice.pool is None else choice.pool < 0
    if (
        k.shape != rows.shape
        or np.any(k < 0)
        or np.any((k < choice.least) & is_apart)
        or np.any((k > lengths) & is_apart)
    ):
        finding = "keeps no tokens of a sample, or more than it has"
        raise PrunegridError(source, finding, f"return {choice.least} <= k <= response_tokens")
    if choice.end_token == "keep":
        least = 1 if scores.turns is None else scores.take(rows).least_tokens
        k = np.where(is_apart, np.maximum(k, least), k)
    rank = choice.rank
    return replace(choice, k=k, rank=lambda block: _check_key(pruner, rank(block), int(block.offsets[-1])))


def require_tokens(block: Scores, spec: PruningSpec) -> None:
    """Refuse a block of scores that lacks a token column of the method, or has a value that is not finite."""
    spec = spec.complete()
    for pruner in find_pruners(spec.method):
        block.require("token", pruner.token_columns(spec.options), pruner.name)
