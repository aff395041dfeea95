"""The corners of Q-Tuning's error-uncertainty plane: thresholds found by bisection, vectorised over equal windows."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Bools, Floats, Ints, exact_fraction, floor_times
from prunegrid.pruners.eu_reading import Reading

Sorted = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Thresholds:
    """The limits of the corners in each window, all [Y]; `alpha` is the same on both axes.

    A sample on a low limit is low; one on a high limit is high, unless the high sides are `strict`.
    """

    alpha: Floats
    ppl_low: Floats
    ppl_high: Floats
    entropy_low: Floats
    entropy_high: Floats
    strict: bool = False

    def corners(self, ppl_YN: Floats, entropy_YN: Floats) -> NDArray[np.int8]:
        """The corner of each sample [Y, N]: 1-4, or 0 between them; if several apply, the first of Q4, Q2, Q1, Q3."""
        above = np.greater if self.strict else np.greater_equal
        high_ppl, low_ppl = above(ppl_YN, self.ppl_high[:, None]), ppl_YN <= self.ppl_low[:, None]
        high_entropy = above(entropy_YN, self.entropy_high[:, None])
        low_entropy = entropy_YN <= self.entropy_low[:, None]
        cases = {
            4: low_ppl & high_entropy,
            2: high_ppl & low_entropy,
            1: high_ppl & high_entropy,
            3: low_ppl & low_entropy,
        }
        return np.select(list(cases.values()), [np.int8(corner) for corner in cases], np.int8(0))

    def members(self, ppl_YN: Floats, entropy_YN: Floats) -> Bools:
        """Whether each sample is in Q2 or Q4 [Y, N]: what `corners` says, without the other corners."""
        above = np.greater if self.strict else np.greater_equal
        is_member: Bools = ppl_YN <= self.ppl_low[:, None]
        is_member &= above(entropy_YN, self.entropy_high[:, None])
        is_q2: Bools = above(ppl_YN, self.ppl_high[:, None])
        is_q2 &= entropy_YN <= self.entropy_low[:, None]
        is_member |= is_q2
        return is_member


def members(corner: NDArray[np.int8]) -> Bools:
    """Whether each sample is in Q2 or Q4, the corners that are kept."""
    is_member: Bools = (corner == 2) | (corner == 4)
    return is_member


def bisect(ppl_YN: Floats, entropy_YN: Floats, sample_ratio: float, reading: Reading) -> Thresholds:
    """Algorithm 1's search for alpha = beta in (0, upper): the thresholds of the last step tested, or of an end.

    alpha is the exact fraction upper * level / 2^steps, so that no quantile's rank depends on rounding. With a
    `tolerance` a window whose kept share is that near to the ratio stays where it is.
    """
    windows, size = ppl_YN.shape
    ratio = exact_fraction(sample_ratio)
    target = ceil(ratio * size)
    unit = exact_fraction(reading.upper) / 2**reading.bisection_steps
    ppl_sorted, entropy_sorted = _sorted(ppl_YN), _sorted(entropy_YN)
    low, high = np.zeros(windows, np.int64), np.full(windows, 2**reading.bisection_steps)
    level, is_met = low, np.zeros(windows, bool)
    for _ in range(reading.bisection_steps):
        level = np.where(is_met, level, (low + high) // 2)
        thresholds = _thresholds(ppl_sorted, entropy_sorted, level, unit, reading)
        number = np.count_nonzero(thresholds.members(ppl_YN, entropy_YN), axis=1)
        # A larger alpha widens the corners. Too few samples in Q2 and Q4: alpha grows, else it shrinks.
        low, high = np.where(number < target, level, low), np.where(number < target, high, level)
        if reading.tolerance is not None:
            slack = exact_fraction(reading.tolerance)
            is_met |= (number >= ceil((ratio - slack) * size)) & (number <= floor((ratio + slack) * size))
    if reading.final == "last":
        return thresholds
    return _thresholds(ppl_sorted, entropy_sorted, low if reading.final == "tight" else high, unit, reading)


def _sorted(values_YN: Floats) -> Sorted:
    """The values of each window in order; in float32, half the memory, where that has them exactly, as scores do."""
    with np.errstate(over="ignore"):
        single_YN = values_YN.astype(np.float32)
    ordered_YN: Sorted = single_YN if np.array_equal(single_YN, values_YN) else values_YN.copy()
    ordered_YN.sort(axis=1)
    return ordered_YN


def _thresholds(
    ppl_sorted: Sorted, entropy_sorted: Sorted, level: Ints, unit: Fraction, reading: Reading
) -> Thresholds:
    """The limits at alpha = unit * level and at 1 - alpha, of values sorted in each window."""
    quantiles = _linear if reading.quantile == "linear" else _inverted_cdf
    ppl, entropy = quantiles(ppl_sorted, level, unit), quantiles(entropy_sorted, level, unit)
    return Thresholds((level * float(unit)).astype(np.float64), *ppl, *entropy, reading.high_side == "strict")


def _inverted_cdf(sorted_YN: Sorted, level: Ints, unit: Fraction) -> tuple[Floats, Floats]:
    """Inverted-CDF quantiles at alpha and 1 - alpha [Y]: the ceil(g N)-th smallest value, at least the first."""
    size, row = sorted_YN.shape[1], np.arange(len(level))
    # As indices from 0. ceil(x) is -floor(-x), and ceil((1 - alpha) N) is N - floor(alpha N).
    low_index = np.maximum(-floor_times(-unit * size, level), 1) - 1
    high_index = size - floor_times(unit * size, level) - 1
    return sorted_YN[row, low_index].astype(np.float64), sorted_YN[row, high_index].astype(np.float64)


def _linear(sorted_YN: Sorted, level: Ints, unit: Fraction) -> tuple[Floats, Floats]:
    """Quantiles at alpha and 1 - alpha [Y], interpolated at index alpha (N - 1) from either end: numpy's default."""
    last, row = sorted_YN.shape[1] - 1, np.arange(len(level))
    distinct, inverse = np.unique(level, return_inverse=True)
    places = [unit * last * number for number in distinct.tolist()]
    index = np.array([floor(place) for place in places])[inverse]
    part = np.array([float(place % 1) for place in places])[inverse]
    following = np.minimum(index + 1, last)
    limits = []
    for inner, outer in ((index, following), (last - index, last - following)):
        start, end = (sorted_YN[row, place].astype(np.float64) for place in (inner, outer))
        # Never beyond one of the two values, by rounding: that would move a sample to the other side.
        limits.append(np.clip(start + (end - start) * part, np.minimum(start, end), np.maximum(start, end)))
    return limits[0], limits[1]
