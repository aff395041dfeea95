"""The equal-budget control: a pair that keeps as many samples and as many tokens as another selection did.

Q-Tuning keeps Q4 whole and so trains on more tokens than the pairs beside it, which may be all that makes the
difference. `match: qtuning` gives a pair Q-Tuning's realised counts instead of the nominal ones.
"""

from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints


class Match(NamedTuple):
    """The realised counts to meet: kept samples, and kept response tokens of all of them together."""

    samples: int
    tokens: int


def match_rows(key: Floats, lengths: Ints, match: Match) -> tuple[Ints, dict[str, Any]]:
    """The `match.samples` rows of largest key that together have `match.tokens` tokens, and details of the match.

    If the best-ranked samples have too few, only responses of at least L tokens take part, with the smallest such L
    that bisection finds. If no L will do, the longest responses are taken.
    """
    # The candidates for L, ascending, the weakest first: only those that leave enough samples. `None` stands for the
    # longest responses and is never tested, since `hi` excludes it: bisection returns its index if all others fail.
    distinct = np.concatenate([[0], np.unique(lengths)])
    long_enough = np.searchsorted(np.sort(-lengths), -distinct, side="right")
    minima = [*distinct[long_enough >= match.samples].tolist(), None]
    index = bisect_left(
        minima,
        True,
        hi=len(minima) - 1,
        key=lambda minimum: _has_tokens(_best_rows(key, lengths, minimum, match.samples), lengths, match),
    )
    rows = _best_rows(key, lengths, minima[index], match.samples)
    if not _has_tokens(rows, lengths, match):
        finding = f"no {match.samples} samples have the {match.tokens} tokens to match"
        raise PrunegridError("match", finding, "match a selection of the same data")
    return rows, {"matched": {**match._asdict(), "shortest_response": int(lengths[rows].min())}}


def _best_rows(key: Floats, lengths: Ints, minimum: int | None, m: int) -> Ints:
    """The m rows of largest key among responses of `minimum` tokens or more; None: the m longest, ties by key."""
    if minimum is None:
        return np.sort(np.lexsort((-key, -lengths))[:m])
    return ragged.top_k(np.where(lengths >= minimum, key, -np.inf), m)


def _has_tokens(rows: Ints, lengths: Ints, match: Match) -> bool:
    return bool(lengths[rows].sum() >= match.tokens)


def match_token_counts(lengths: Ints, tokens: int, least: Ints | int = 1) -> Ints:
    """How many tokens to keep of each response [m]: `least`, and the others in proportion to its remaining length.

    The counts add up to exactly `tokens`: largest remainders are rounded up, of equal ones those of earlier samples.
    """
    smallest = np.broadcast_to(np.asarray(least, lengths.dtype), lengths.shape)
    spare, budget = lengths - smallest, tokens - int(smallest.sum())
    if budget <= 0:
        return smallest.copy()
    whole, remainder = np.divmod(spare * budget, spare.sum())
    whole[np.argsort(-remainder, kind="stable")[: budget - whole.sum()]] += 1
    counts: Ints = smallest + whole
    return counts
