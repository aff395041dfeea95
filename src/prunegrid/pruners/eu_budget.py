"""How many tokens Q-Tuning keeps of each kept sample: a share of its own response, or what a batch's target leaves.

A mini-batch's target (`budget: batch`) counts prompts and dropped samples too. What the kept samples have above it is
taken from the responses that may be pruned, all together, so it is met only where those hold enough.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Bools, Ints, exact_fraction, keep_counts
from prunegrid.pruners.arrays import EndToken, Scores

NO_POOL = -1


@dataclass(frozen=True)
class TokenBudget:
    """The counts `k`, `pool` and `least` of a `Choice` (see there), and what `selection.json` says of them."""

    k: Ints
    pool: Ints | None
    least: int
    details: dict[str, Any]


def sample_budget(scores: Scores, rows: Ints, is_pruned: Bools, token_ratio: float) -> TokenBudget:
    """Of each of the m samples `rows` that `is_pruned`, the share `token_ratio` of its response; all of the others."""
    lengths = scores.response_tokens[rows]
    return TokenBudget(np.where(is_pruned, keep_counts(token_ratio, lengths), lengths), None, 1, {})


def batch_budget(
    scores: Scores, rows: Ints, is_pruned: Bools, window: int, ratios: tuple[float, float], end_token: EndToken
) -> TokenBudget:
    """One target for each window: its tokens, prompts included, times both `ratios` (of samples, of tokens).

    What the kept samples `rows` have above it goes from those that `is_pruned`, down to nothing, or to the ends of
    answers if those are kept. At a token ratio of 1 no token goes.
    """
    lengths, window_m, windows = scores.response_tokens[rows], rows // window, -(-len(scores) // window)
    whole_N = _lengths(scores)
    target_Y = _rounded_shares(_sums(whole_N, np.arange(len(scores)) // window, windows), ratios)
    surplus_Y = np.maximum(_sums(whole_N[rows], window_m, windows) - target_Y, 0)
    if ratios[1] == 1:
        surplus_Y = np.zeros_like(surplus_Y)
    ends = scores.answers.end_counts[rows] if end_token == "keep" else 0
    pool_Y, free_Y = (_sums(np.where(is_pruned, size, 0), window_m, windows) for size in (lengths, lengths - ends))
    dropped_Y = np.minimum(surplus_Y, free_Y)
    # Only the sum over a pool counts: its first sample stands for all.
    k = np.where(is_pruned, 0, lengths)
    pruned = np.flatnonzero(is_pruned)
    first = pruned[np.diff(window_m[pruned], prepend=NO_POOL) > 0]
    k[first] = (pool_Y - dropped_Y)[window_m[first]]
    counts = {
        "mini_batches": windows,
        "nothing_dropped": int((dropped_Y == 0).sum()),
        "all_dropped": int(((dropped_Y == free_Y) & (free_Y > 0)).sum()),
        "over_target": int((surplus_Y > dropped_Y).sum()),
    }
    return TokenBudget(k, np.where(is_pruned, window_m, NO_POOL), 0, {"token_budget": counts})


def _lengths(scores: Scores) -> Ints:
    """The number of tokens of each sample [n], prompt and response."""
    if scores.prompt_tokens is None:
        problem = "hold no prompt_tokens, which qtuning counts with budget: batch"
        raise PrunegridError("the scores", problem, "give prompt_tokens, or set budget: sample")
    return scores.prompt_tokens + scores.response_tokens


def _sums(values: Ints, window: Ints, windows: int) -> Ints:
    """The sum of the values of each window [Y]."""
    return np.bincount(window, values, windows).astype(np.int64)


def _rounded_shares(totals: Ints, ratios: tuple[float, float]) -> Ints:
    """round(total * sample ratio * token ratio), half to even, in exact arithmetic."""
    share = exact_fraction(ratios[0]) * exact_fraction(ratios[1])
    distinct, inverse = np.unique(totals, return_inverse=True)
    return np.array([round(share * number) for number in distinct.tolist()], np.int64)[inverse]
