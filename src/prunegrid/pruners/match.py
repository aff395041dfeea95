"""The equal-budget control: a pair that keeps as many samples and as many tokens as another selection did.

Q-Tuning keeps Q4 whole and so trains on more tokens than the pairs beside it; a difference between them may
be no more than that. `match: qtuning` gives a pair Q-Tuning's realised counts instead of the nominal ones.
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


def matched_rows(key: Floats, lengths: Ints, match: Match) -> tuple[Ints, dict[str, Any]]:
    """The `match.samples` rows of largest key among the responses that are long enough, and what that meant.

    Where the best-ranked samples hold fewer tokens than are to be kept, only responses of at least L tokens
    take part: the smallest such L that bisection finds. Where no L will do, the longest are taken.
    """
    distinct = np.concatenate([[0], np.unique(lengths)])
    at_least = np.searchsorted(np.sort(-lengths), -distinct, side="right")
    limits = [*distinct[at_least >= match.samples].tolist(), None]
    place = bisect_left(
        limits,
        True,
        hi=len(limits) - 1,
        key=lambda limit: _holds(_among(key, lengths, limit, match.samples), lengths, match),
    )
    rows = _among(key, lengths, limits[place], match.samples)
    if not _holds(rows, lengths, match):
        what = f"no {match.samples} samples have the {match.tokens} tokens to match"
        raise PrunegridError("match", what, "match a selection of the same data")
    return rows, {"matched": {**match._asdict(), "shortest_response": int(lengths[rows].min())}}


def _among(key: Floats, lengths: Ints, shortest: int | None, m: int) -> Ints:
    """The m rows of largest key among responses of `shortest` tokens or more; None: of the longest responses."""
    if shortest is None:
        return np.sort(np.lexsort((-key, -lengths))[:m])
    return ragged.top_k(np.where(lengths >= shortest, key, -np.inf), m)


def _holds(rows: Ints, lengths: Ints, match: Match) -> bool:
    return bool(lengths[rows].sum() >= match.tokens)


def matched_tokens(lengths: Ints, tokens: int) -> Ints:
    """How many of each response's tokens [m] to keep: one, and the rest in proportion to what is left of it.

    Largest remainders are rounded up (of equal ones the earlier samples'), so the sum is exactly `tokens`.
    """
    spare, rest = lengths - 1, tokens - len(lengths)
    if rest <= 0:
        return np.ones_like(lengths)
    whole, remainder = np.divmod(spare * rest, spare.sum())
    whole[np.argsort(-remainder, kind="stable")[: rest - whole.sum()]] += 1
    more: Ints = 1 + whole
    return more
