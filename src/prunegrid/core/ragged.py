"""Vectorised helpers for ragged arrays: one flat array of T values and `offsets[n+1]`, a segment a sample."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def exact_fraction(ratio: float) -> Fraction:
    """The decimal that was written: 0.7 is 7/10, not the nearest double."""
    return Fraction(str(ratio))


def floor_times(factor: Fraction, numbers: Ints) -> Ints:
    """floor(factor * number) of each, in unbounded integers: one Python operation a distinct number."""
    distinct, inverse = np.unique(numbers, return_inverse=True)
    floors = [factor.numerator * number // factor.denominator for number in distinct.tolist()]
    return np.asarray(floors, dtype=np.int64)[inverse].reshape(numbers.shape)


def keep_counts(ratio: float, sizes: Ints) -> Ints:
    """How many of `sizes` are kept: max(1, floor(ratio * size))."""
    return np.maximum(1, floor_times(exact_fraction(ratio), sizes))


def offsets_from_lengths(lengths: Ints | Bools) -> Ints:
    """Lengths [n] to offsets [n+1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def positions(offsets: Ints) -> Ints:
    """The position of every flat element [T] within its segment."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def flat_indices(offsets: Ints, rows: Ints) -> Ints:
    """Flat indices of the segments `rows`, in that order."""
    lengths = np.diff(offsets)[rows]
    taken = offsets_from_lengths(lengths)
    return np.arange(taken[-1]) + np.repeat(offsets[:-1][rows] - taken[:-1], lengths)


def segment_sums(values: Ints | Bools, offsets: Ints) -> Ints:
    """The sum of each segment [n], empty ones included."""
    ends = offsets_from_lengths(values)[offsets]
    return ends[1:] - ends[:-1]


def top_k(key: Floats, k: int) -> Ints:
    """The rows [k] of largest key, ascending; of equal keys the earlier ones."""
    return np.sort(np.argsort(-key, kind="stable")[:k])


def segment_top_k(key: Floats, offsets: Ints, k: Ints) -> Bools:
    """Mark [T] the `k[n]` largest keys of each segment; of equal keys the earlier ones.

    Segments of one length and one k are handled together, so the loop is over those, not over segments.
    """
    lengths = np.diff(offsets)
    kept = np.repeat(k >= lengths, lengths)
    some = np.flatnonzero((k > 0) & (k < lengths))
    some = some[np.lexsort((k[some], lengths[some]))]
    borders = np.flatnonzero(np.diff(lengths[some]) | np.diff(k[some])) + 1
    for rows in np.split(some, borders) if len(some) else ():
        flat_ML = offsets[rows][:, None] + np.arange(lengths[rows[0]])
        kept[flat_ML] = _largest(key[flat_ML], int(k[rows[0]]))
    return kept


def _largest(key_ML: Floats, k: int) -> Bools:
    """Mark the k largest of each row, of equal ones the earlier."""
    rank = key_ML.shape[1] - k
    limit_M1 = np.partition(key_ML, rank, axis=1)[:, rank, None]
    above, level = key_ML > limit_M1, key_ML == limit_M1
    room_M1 = k - above.sum(axis=1, keepdims=True)
    largest: Bools = above | (level & (np.cumsum(level, axis=1) <= room_M1))
    return largest
