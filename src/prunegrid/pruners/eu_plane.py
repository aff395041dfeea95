"""The error-uncertainty plane of Q-Tuning: bisected corner thresholds, the fill rule and the trim rule.

Everything is vectorised over windows of equal size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunegrid.core.ragged import Bools, Floats, Ints, exact_fraction, floor_times, keep_counts
from prunegrid.pruners.options import OptionGroup

LISTED_WINDOWS = 64


class Reading(OptionGroup):
    """Choices where the paper is ambiguous; docs/pruners.md says what each value means."""

    surplus: Literal["trim", "keep"] = "trim"
    trim_order: Literal["contrast", "random"] = "contrast"
    fill: Literal["contrast", "random", "none"] = "contrast"
    filled_tokens: Literal["contrast", "prune", "keep"] = "contrast"
    edges: Literal["repeat", "zero"] = "repeat"
    bisection_steps: Annotated[int, Field(ge=1, le=30)] = 10
    final: Literal["last", "tight", "loose"] = "last"
    upper: Annotated[float, Field(gt=0, le=0.5)] = 0.49


PAPER = Reading()


@dataclass(frozen=True)
class Thresholds:
    """The limits of the corners in each window, all [Y]; `alpha` is the same on both axes."""

    alpha: Floats
    ppl_low: Floats
    ppl_high: Floats
    entropy_low: Floats
    entropy_high: Floats

    def corners(self, ppl_YN: Floats, entropy_YN: Floats) -> NDArray[np.int8]:
        """The corner of each sample [Y, N]: 1-4, or 0 between them; if several apply, the first of Q4, Q2, Q1, Q3."""
        high_ppl, low_ppl = ppl_YN >= self.ppl_high[:, None], ppl_YN <= self.ppl_low[:, None]
        high_entropy = entropy_YN >= self.entropy_high[:, None]
        low_entropy = entropy_YN <= self.entropy_low[:, None]
        cases = {
            4: low_ppl & high_entropy,
            2: high_ppl & low_entropy,
            1: high_ppl & high_entropy,
            3: low_ppl & low_entropy,
        }
        return np.select(list(cases.values()), [np.int8(corner) for corner in cases], np.int8(0))


@dataclass(frozen=True)
class Plane:
    """The place of each sample [n]: its corner, whether it is kept, and the corner whose token rule it follows."""

    corner: NDArray[np.int8]
    is_kept: Bools
    treated_as: NDArray[np.int8]
    thresholds: list[tuple[int, Thresholds]]

    def quadrant(self, rows: Ints) -> NDArray[np.int8]:
        """2 or 4; 0 for samples that the fill rule kept."""
        return np.where(_members(self.corner[rows]), self.corner[rows], 0).astype(np.int8)

    def reason(self, rows: Ints) -> NDArray[np.str_]:
        return np.array(["fill", "", "q2", "", "q4"])[self.quadrant(rows)]

    def details(self) -> dict[str, Any]:
        """For `selection.json`: thresholds by window, the corners of all samples, and the rule that decided on each."""
        members = _members(self.corner)
        return {
            "thresholds": self._thresholds(),
            "corners": {
                name: int((self.corner == number).sum())
                for number, name in enumerate(("between", "q1", "q2", "q3", "q4"))
            },
            "paths": {
                "q2": int((self.is_kept & (self.corner == 2)).sum()),
                "q4": int((self.is_kept & (self.corner == 4)).sum()),
                "filled": int((self.is_kept & ~members).sum()),
                "trimmed": int((~self.is_kept & members).sum()),
            },
        }

    def _thresholds(self) -> list[dict[str, float]] | dict[str, Any]:
        """An entry for each window; if they are more than 64, their number and quartiles of each threshold."""
        names = ("alpha", "ppl_low", "ppl_high", "entropy_low", "entropy_high")
        groups = [group for _, group in self.thresholds]
        windows = sum(len(group.alpha) for group in groups)
        if windows > LISTED_WINDOWS:
            columns = {name: np.concatenate([getattr(group, name) for group in groups]) for name in names}
            quartiles = {
                name: np.quantile(column, (0, 0.25, 0.5, 0.75, 1)).tolist() for name, column in columns.items()
            }
            return {"windows": windows, "quartiles": quartiles}
        return [
            {"samples": size, **dict(zip(names, values, strict=True))}
            for size, group in self.thresholds
            for values in zip(*(getattr(group, name).tolist() for name in names), strict=True)
        ]


def _members(corner: NDArray[np.int8]) -> Bools:
    """Whether each sample is in Q2 or Q4, the corners that are kept."""
    members: Bools = (corner == 2) | (corner == 4)
    return members


def divide(ppl: Floats, entropy: Floats, luck: Floats, window: int, sample_ratio: float, reading: Reading) -> Plane:
    """Divide n samples, in order, into windows of `window` samples (the last may be shorter), and choose in each.

    `luck` [n] is the order of samples that are filled or trimmed at random.
    """
    corner, is_kept, treated_as = (np.zeros(len(ppl), kind) for kind in (np.int8, bool, np.int8))
    thresholds = []
    for part, size in _equal_windows(len(ppl), window):
        ppl_YN, entropy_YN, luck_YN = (column[part].reshape(-1, size) for column in (ppl, entropy, luck))
        group = bisect(ppl_YN, entropy_YN, sample_ratio, reading)
        corner_YN = group.corners(ppl_YN, entropy_YN)
        member_YN = _members(corner_YN)
        contrast_YN = normalised(ppl_YN) - normalised(entropy_YN)
        corner[part] = corner_YN.ravel()
        is_kept[part] = _choose(member_YN, np.abs(contrast_YN), luck_YN, sample_ratio, reading).ravel()
        treated_as[part] = np.where(member_YN, corner_YN, _fill_corner(contrast_YN, reading)).ravel()
        thresholds.append((size, group))
    return Plane(corner, is_kept, treated_as, thresholds)


def _fill_corner(contrast_YN: Floats, reading: Reading) -> NDArray[np.int8]:
    """The corner whose token rule a filled sample follows."""
    if reading.filled_tokens == "contrast":
        return np.where(contrast_YN > 0, np.int8(2), np.int8(4))
    return np.full(contrast_YN.shape, 2 if reading.filled_tokens == "prune" else 4, np.int8)


def _equal_windows(n: int, window: int) -> Iterator[tuple[slice, int]]:
    """The rows of all whole windows, then those of the last, shorter one; each with the size of its windows."""
    whole = n - n % window
    if whole:
        yield slice(0, whole), window
    if whole < n:
        yield slice(whole, n), n - whole


def bisect(ppl_YN: Floats, entropy_YN: Floats, sample_ratio: float, reading: Reading) -> Thresholds:
    """Algorithm 1's search for alpha = beta in (0, upper): the thresholds of the last step tested, or of an end.

    alpha is the exact fraction upper * level / 2^steps, so that no quantile's rank depends on rounding.
    """
    windows, size = ppl_YN.shape
    target = ceil(exact_fraction(sample_ratio) * size)
    unit = exact_fraction(reading.upper) / 2**reading.bisection_steps
    ppl_sorted, entropy_sorted = np.sort(ppl_YN, axis=1), np.sort(entropy_YN, axis=1)
    low, high = np.zeros(windows, np.int64), np.full(windows, 2**reading.bisection_steps)
    for _ in range(reading.bisection_steps):
        level = (low + high) // 2
        thresholds = _thresholds(ppl_sorted, entropy_sorted, level, unit)
        # A larger alpha widens the corners. Too few samples in Q2 and Q4: alpha grows, else it shrinks.
        too_few = _members(thresholds.corners(ppl_YN, entropy_YN)).sum(axis=1) < target
        low, high = np.where(too_few, level, low), np.where(too_few, high, level)
    if reading.final == "last":
        return thresholds
    return _thresholds(ppl_sorted, entropy_sorted, low if reading.final == "tight" else high, unit)


def _thresholds(ppl_sorted: Floats, entropy_sorted: Floats, level: Ints, unit: Fraction) -> Thresholds:
    """Inverted-CDF quantiles at alpha and 1 - alpha: the ceil(g N)-th smallest value, at least the first."""
    size = ppl_sorted.shape[1]
    # As indices from 0. ceil(x) is -floor(-x), and ceil((1 - alpha) N) is N - floor(alpha N).
    low_index = np.maximum(-floor_times(-unit * size, level), 1) - 1
    high_index = size - floor_times(unit * size, level) - 1
    row = np.arange(len(level))
    limits = [values[row, index] for values in (ppl_sorted, entropy_sorted) for index in (low_index, high_index)]
    return Thresholds((level * float(unit)).astype(np.float64), *limits)


def normalised(values_YN: Floats) -> Floats:
    """Min-max normalised in each window; 0 if all values are equal."""
    low, high = values_YN.min(axis=1, keepdims=True), values_YN.max(axis=1, keepdims=True)
    scaled: Floats = (values_YN - low) / np.where(high > low, high - low, 1.0)
    return scaled


def _choose(member_YN: Bools, contrast_YN: Floats, luck_YN: Floats, sample_ratio: float, reading: Reading) -> Bools:
    """Keep members of Q2 and Q4; fill or trim by |PPL_norm - Ent_norm| or luck; ties go to the earlier row [Y, N]."""
    windows, size = member_YN.shape
    members = member_YN.sum(axis=1)
    number = np.broadcast_to(keep_counts(sample_ratio, np.array([size])), windows)
    if reading.surplus == "keep":
        number = np.maximum(number, members)
    if reading.fill == "none":
        number = np.minimum(number, members)
    trim_YN = luck_YN if reading.trim_order == "random" else contrast_YN
    fill_YN = luck_YN if reading.fill == "random" else contrast_YN
    # Members come first, then the others, each by their own order: the first `number` are kept, so that too many
    # members are trimmed at their end and too few are filled up from the beginning of the others.
    order_YN = np.lexsort((-np.where(member_YN, trim_YN, fill_YN), ~member_YN), axis=1)
    is_kept_YN = np.zeros_like(member_YN)
    np.put_along_axis(is_kept_YN, order_YN, np.arange(size) < number[:, None], axis=1)
    return is_kept_YN
