"""What Q-Tuning keeps of simulated mini-batches: the shares to expect of a budget, without a model or data.

A mini-batch is drawn at random from samples whose PPL and entropy correlate and whose lengths are like WizardLM's.
"""

from dataclasses import dataclass

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.experiment.variant import Budget
from prunegrid.pruners import Draw, PruningSpec, Scores, select

MEAN_NLL, SPREAD_NLL, SMALLEST_NLL = 1.0, 0.35, 0.05  # of samples, in nats
MEAN_ENTROPY, SPREAD_ENTROPY = 1.0, 0.3
TOKEN_SHAPE = 0.5  # of the gamma distribution of a response's token NLL: most tokens are easy, few are hard
MEDIAN_RESPONSE, SPREAD_LENGTH, LONGEST = 250, 0.65, 2048  # tokens; lengths are log-normal


@dataclass(frozen=True)
class World:
    """Mini-batches of samples. `correlation` is that of log PPL and entropy; `prompt_share` is of all tokens."""

    mini_batches: int = 2000
    batch_size: int = 8
    correlation: float = 0.7
    prompt_share: float = 0.23
    seed: int = 0


@dataclass(frozen=True)
class Shares:
    """What is kept, as shares.

    Of the kept samples: in Q2 or Q4 (`quadrants`), filled in like Q2 and like Q4. Of all samples, response tokens, ends
    of sequence and tokens (prompts included): kept. Of the kept samples' response tokens: kept, and the same of those
    like Q2 alone. Of the mini-batches: `emptied` those that keep no token of any sample like Q2, among those that keep
    such samples; `undropped` those in which no token of a kept sample goes; `untrained` those without any token.
    """

    quadrants: float
    filled_q2: float
    filled_q4: float
    samples: float
    response_tokens: float
    ends: float
    all_tokens: float
    tokens_of_kept: float
    tokens_of_q2: float
    emptied: float
    undropped: float
    untrained: float


def simulate(world: World) -> Scores:
    """The scores of all mini-batches, one after another; a response has the entropy of its whole sequence."""
    rng, n = np.random.default_rng(world.seed), world.mini_batches * world.batch_size
    covariance = [[1.0, world.correlation], [world.correlation, 1.0]]
    error_N, uncertainty_N = rng.multivariate_normal([0.0, 0.0], covariance, n).T
    nll_N = np.maximum(MEAN_NLL + SPREAD_NLL * error_N, SMALLEST_NLL)
    entropy_N = MEAN_ENTROPY + SPREAD_ENTROPY * uncertainty_N
    response_N = _lengths(rng.normal(size=n), MEDIAN_RESPONSE)
    # The mean of a log-normal length is the median times the same factor, so medians divide as means do.
    prompt_N = _lengths(rng.normal(size=n), MEDIAN_RESPONSE * world.prompt_share / (1 - world.prompt_share))
    offsets = ragged.offsets_from_lengths(response_N)
    return Scores(
        sample_id=np.arange(n),
        response_tokens=response_N,
        truncated=np.zeros(n, np.bool_),
        offsets=offsets,
        samples={"ppl": np.exp(nll_N), "entropy": entropy_N, "sequence_entropy": entropy_N},
        tokens={"nll": _token_nll(rng, nll_N, offsets)},
        prompt_tokens=prompt_N,
    )


def _lengths(normal_N: Floats, median: float) -> Ints:
    lengths: Ints = np.clip(np.rint(median * np.exp(SPREAD_LENGTH * normal_N)), 1, LONGEST).astype(np.int64)
    return lengths


def _token_nll(rng: np.random.Generator, nll_N: Floats, offsets: Ints) -> Floats:
    """NLL of each token [T], whose mean is the sample's."""
    lengths = np.diff(offsets)
    nll_T = rng.standard_gamma(TOKEN_SHAPE, offsets[-1]) + 1e-9
    scaled: Floats = nll_T * np.repeat(nll_N * lengths / np.add.reduceat(nll_T, offsets[:-1]), lengths)
    return scaled


def shares(scores: Scores, budget: Budget, reading: str, batch_size: int) -> Shares:
    """What Q-Tuning keeps of the mini-batches that `scores` are made of, in this reading."""
    options = {"reading": reading, "window": batch_size}
    spec = PruningSpec(method="qtuning", options=options, **dict(budget))
    selection = select(scores, spec, Draw(0))
    rows, kept = selection.sample_id, np.diff(selection.offsets)
    lengths, like_q2 = scores.response_tokens[rows], selection.treated_as == 2
    filled = selection.reason == "fill"
    flat = np.repeat(scores.offsets[rows], kept) + selection.positions  # the kept tokens among all
    windows = -(-len(scores) // batch_size)
    assert scores.prompt_tokens is not None, "simulated scores have the lengths of prompts"

    def by_window(values: Ints | Bools) -> Ints:
        return np.bincount(rows // batch_size, values, windows).astype(np.int64)

    has_q2 = by_window(like_q2) > 0
    return Shares(
        quadrants=float((~filled).mean()),
        filled_q2=float((filled & like_q2).mean()),
        filled_q4=float((filled & ~like_q2).mean()),
        samples=len(rows) / len(scores),
        response_tokens=float(kept.sum() / scores.response_tokens.sum()),
        ends=float(np.isin(scores.offsets[rows + 1] - 1, flat).sum() / len(scores)),
        all_tokens=float(
            (kept.sum() + scores.prompt_tokens[rows].sum())
            / (scores.response_tokens.sum() + scores.prompt_tokens.sum())
        ),
        tokens_of_kept=float(kept.sum() / lengths.sum()),
        tokens_of_q2=float(kept[like_q2].sum() / lengths[like_q2].sum()),
        emptied=float((by_window(kept * like_q2)[has_q2] == 0).mean()),
        undropped=float((by_window(lengths - kept) == 0).mean()),
        untrained=float((by_window(kept) == 0).mean()),
    )
