"""Vectorised helpers for ragged arrays: one flat array of T values and `offsets[n+1]`, one segment per sample."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def exact_fraction(ratio: float) -> Fraction:
    """The decimal as written: 0.7 is 7/10, not the nearest double."""
    return Fraction(str(ratio))


def floor_times(factor: Fraction, numbers: Ints) -> Ints:
    """floor(factor * number) for each, in unbounded integers: one Python operation per distinct number."""
    return _of_each(numbers, lambda number: factor.numerator * number // factor.denominator)


def round_times(factor: Fraction, numbers: Ints) -> Ints:
    """round(factor * number) for each, half to even."""
    return _of_each(numbers, lambda number: round(factor * number))


def _of_each(numbers: Ints, function: Callable[[int], int]) -> Ints:
    """The function of each number, called once for each distinct one; lengths, which are small, are not sorted."""
    if numbers.size and numbers.min() >= 0 and numbers.max() < 4 * numbers.size:
        distinct = np.flatnonzero(np.bincount(numbers.ravel()))
        table = np.zeros(distinct[-1] + 1, np.int64)
        table[distinct] = list(map(function, distinct.tolist()))
        return table[numbers]
    distinct, inverse = np.unique(numbers, return_inverse=True)
    return np.asarray(list(map(function, distinct.tolist())), dtype=np.int64)[inverse].reshape(numbers.shape)


def keep_counts(ratio: float, sizes: Ints, rule: str = "floor") -> Ints:
    """How many to keep of each of `sizes`: max(1, floor(ratio * size)), or the nearest whole number by `round`."""
    times = round_times if rule == "round" else floor_times
    return np.maximum(1, times(exact_fraction(ratio), sizes))


def offsets_from_lengths(lengths: Ints | Bools) -> Ints:
    """Lengths [n] to offsets [n+1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def positions(offsets: Ints) -> Ints:
    """The position of every flat element [T] within its segment."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def flat_indices(offsets: Ints, rows: Ints) -> Ints:
    """Flat indices of the segments `rows`, in that order."""
    lengths = np.diff(offsets)[rows]
    new_offsets = offsets_from_lengths(lengths)
    return np.arange(new_offsets[-1]) + np.repeat(offsets[:-1][rows] - new_offsets[:-1], lengths)


def segment_sums(values: Ints | Bools, offsets: Ints) -> Ints:
    """The sum of each segment [n]; 0 for an empty one, which `np.add.reduceat` would get wrong."""
    ends = offsets_from_lengths(values)[offsets]
    return ends[1:] - ends[:-1]


def top_k(key: Floats, k: int) -> Ints:
    """The rows [k] of the largest keys, ascending; ties go to the earlier row."""
    return np.flatnonzero(mark_top_k(key, np.ones(len(key), np.bool_), k))


def mark_top_k(key: Floats, among: Bools, k: int) -> Bools:
    """Mark [n] the k largest keys of those `among`, all of them if they are fewer; ties go to the earlier row."""
    keys = key[among]
    if k >= len(keys) or not k:
        return among & bool(k)
    keys.partition(len(keys) - k)
    kth = keys[len(keys) - k]
    del keys
    is_kept: Bools = (key > kth) & among
    ties = np.flatnonzero((key == kth) & among)
    is_kept[ties[: k - np.count_nonzero(is_kept)]] = True
    return is_kept


def segment_top_k(key: Floats, offsets: Ints, k: Ints) -> Bools:
    """Mark [T] the `k[n]` largest keys of each segment; ties go to the earlier element."""
    lengths = np.diff(offsets)
    marks = np.repeat(k >= lengths, lengths)  # segments that are kept whole need no ranking
    rows = np.flatnonzero((k > 0) & (k < lengths))
    # Segments of one length and one k form a rectangle, which numpy partitions at once. Sorted by both, the members of
    # a rectangle are neighbours, so the loop below is over distinct (length, k), not over segments.
    rows = rows[np.lexsort((k[rows], lengths[rows]))]
    borders = np.flatnonzero(np.diff(lengths[rows]) | np.diff(k[rows])) + 1
    for group in np.split(rows, borders) if len(rows) else ():
        flat_NT = offsets[group][:, None] + np.arange(lengths[group[0]])
        marks[flat_NT] = _largest(key[flat_NT], int(k[group[0]]))
    return marks


def _largest(key_NT: Floats, k: int) -> Bools:
    """Mark the k largest of each row; ties go to the earlier element."""
    rank = key_NT.shape[1] - k
    kth_N1 = np.partition(key_NT, rank, axis=1)[:, rank, None]
    larger_NT, equal_NT = key_NT > kth_N1, key_NT == kth_N1
    # Fewer than k are larger than the k-th largest: the ties with it fill the rest, from the left.
    ties_N1 = k - larger_NT.sum(axis=1, keepdims=True)
    largest: Bools = larger_NT | (equal_NT & (np.cumsum(equal_NT, axis=1) <= ties_N1))
    return largest


def first_infinite(values: NDArray[Any]) -> tuple[int, ...]:
    """Where the first value stands that is not finite; () if all are. Never as many bools as values at a time."""
    size = max(1, 2**22 // max(1, values[:1].size))
    for start in range(0, len(values), size):
        bad = ~np.isfinite(values[start : start + size])
        if bad.any():
            row, *rest = np.argwhere(bad)[0].tolist()
            return (start + row, *rest)
    return ()
