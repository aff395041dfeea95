"""Vectorised helpers for ragged arrays: one flat array of T values and `offsets[n+1]`, a segment a sample."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def exact(ratio: float) -> Fraction:
    """The decimal that was written: 0.7 is 7/10, not the nearest double."""
    return Fraction(str(ratio))


def floor_times(factor: Fraction, numbers: Ints) -> Ints:
    """floor(factor * number) of each, in unbounded integers: one Python operation a distinct number."""
    distinct, inverse = np.unique(numbers, return_inverse=True)
    floors = [factor.numerator * number // factor.denominator for number in distinct.tolist()]
    return np.asarray(floors, dtype=np.int64)[inverse].reshape(numbers.shape)


def counts(ratio: float, sizes: Ints) -> Ints:
    """How many of `sizes` are kept: max(1, floor(ratio * size))."""
    return np.maximum(1, floor_times(exact(ratio), sizes))


def offsets_of(lengths: Ints | Bools) -> Ints:
    """Lengths [n] to offsets [n+1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def segments(offsets: Ints) -> Ints:
    """The segment number of every flat element [T]."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def positions(offsets: Ints) -> Ints:
    """The position of every flat element [T] within its segment."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def flat_rows(offsets: Ints, rows: Ints) -> Ints:
    """Flat indices of the segments `rows`, in that order."""
    lengths = np.diff(offsets)[rows]
    taken = offsets_of(lengths)
    return np.arange(taken[-1]) + np.repeat(offsets[:-1][rows] - taken[:-1], lengths)


def sums(values: Ints | Bools, offsets: Ints) -> Ints:
    """The sum of each segment [n], empty ones included."""
    ends = offsets_of(values)[offsets]
    return ends[1:] - ends[:-1]


def first(key: Floats, k: int) -> Ints:
    """The rows [k] of largest key, ascending; of equal keys the earlier ones."""
    return np.sort(np.argsort(-key, kind="stable")[:k])


def top(key: Floats, offsets: Ints, k: Ints) -> Bools:
    """Mark [T] the `k[n]` largest keys of each segment; of equal keys the earlier ones."""
    order = np.lexsort((-key, segments(offsets)))
    kept = np.zeros(len(key), dtype=bool)
    kept[order] = positions(offsets) < np.repeat(k, np.diff(offsets))
    return kept
