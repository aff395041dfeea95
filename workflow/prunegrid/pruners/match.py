"""The equal-budget control: a pair that keeps as many samples and as many tokens as another selection did.

Q-Tuning keeps Q4 whole and so trains on more tokens than the pairs beside it; a difference between them may
be no more than that. `match: qtuning` gives a pair Q-Tuning's realised counts instead of the nominal ones.
"""

from typing import Any, NamedTuple

import numpy as np

from prunegrid.pruners import ragged
from prunegrid.pruners.ragged import Floats, Ints


class Match(NamedTuple):
    """The realised counts to meet: kept samples, and kept response tokens of all of them together."""

    samples: int
    tokens: int


def matched_rows(key: Floats, lengths: Ints, match: Match) -> tuple[Ints, dict[str, Any]]:
    """The `match.samples` rows of largest key among the responses that are long enough, and what that meant.

    Where the best-ranked samples hold fewer tokens than are to be kept, only responses of at least L tokens
    take part: L is the smallest with which the samples hold them (found by bisection).
    """
    distinct = np.concatenate([[0], np.unique(lengths)])
    reachable = distinct[np.searchsorted(np.sort(-lengths), -distinct, side="right") >= match.samples]
    low, high = 0, len(reachable) - 1
    while low < high:
        middle = (low + high) // 2
        enough = lengths[_among(key, lengths, reachable[middle], match.samples)].sum() >= match.tokens
        low, high = (low, middle) if enough else (middle + 1, high)
    rows = _among(key, lengths, reachable[low], match.samples)
    held = int(lengths[rows].sum())
    return rows, {
        "matched": {
            **match._asdict(),
            "shortest_response": int(reachable[low]),
            "short_of_tokens": max(0, match.tokens - held),
        }
    }


def _among(key: Floats, lengths: Ints, shortest: int, m: int) -> Ints:
    return ragged.first(np.where(lengths >= shortest, key, -np.inf), m)


def matched_tokens(lengths: Ints, tokens: int) -> Ints:
    """How many of each response's tokens [m] to keep: one, and the rest in proportion to what is left of it.

    Largest remainders are rounded up (of equal ones the earlier samples'), so the sum is exactly `tokens`, or
    all there are.
    """
    spare = lengths - 1
    rest = min(tokens - len(lengths), int(spare.sum()))
    if rest <= 0:
        return np.ones_like(lengths)
    whole, remainder = np.divmod(spare * rest, spare.sum())
    whole[np.argsort(-remainder, kind="stable")[: rest - whole.sum()]] += 1
    more: Ints = 1 + whole
    return more
