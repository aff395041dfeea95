"""The error-uncertainty plane of Q-Tuning: bisected corner thresholds, the fill rule and the trim rule.

Everything is vectorised over windows: arrays are [w, B], w windows of B samples each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.pruners.ragged import Bools, Floats, Ints, counts, exact, floor_times


@dataclass(frozen=True)
class Search:
    """How to divide a window: the ratio to meet, whether to trim a surplus, the bisection of alpha = beta."""

    sample_ratio: float
    trim: bool
    steps: int
    upper: float


@dataclass(frozen=True)
class Thresholds:
    """The corners' limits of each window, all [w]; `alpha` serves both axes."""

    alpha: Floats
    ppl_low: Floats
    ppl_high: Floats
    entropy_low: Floats
    entropy_high: Floats

    def corners(self, ppl_WB: Floats, entropy_WB: Floats) -> NDArray[np.int8]:
        """Each sample's corner 1-4, 0 between them [w, B]; of several the first of Q4, Q2, Q1, Q3."""
        high_ppl, low_ppl = ppl_WB >= self.ppl_high[:, None], ppl_WB <= self.ppl_low[:, None]
        high_entropy = entropy_WB >= self.entropy_high[:, None]
        low_entropy = entropy_WB <= self.entropy_low[:, None]
        cases = {
            4: low_ppl & high_entropy,
            2: high_ppl & low_entropy,
            1: high_ppl & high_entropy,
            3: low_ppl & low_entropy,
        }
        return np.select(list(cases.values()), [np.int8(corner) for corner in cases], np.int8(0))


@dataclass(frozen=True)
class Plane:
    """Each sample's place [n]: its corner, whether it is kept, why, and by which corner's token rule."""

    corner: NDArray[np.int8]
    kept: Bools
    treated_as: NDArray[np.int8]
    thresholds: list[tuple[int, Thresholds]]

    @property
    def quadrant(self) -> NDArray[np.int8]:
        """2 or 4; 0 for samples that the fill rule kept or nothing did."""
        return np.where(np.isin(self.corner, (2, 4)), self.corner, 0).astype(np.int8)

    @property
    def reason(self) -> NDArray[np.str_]:
        return np.select([self.quadrant == 2, self.quadrant == 4], ["q2", "q4"], "fill")

    def details(self) -> dict[str, Any]:
        """For `selection.json`: thresholds by window, and the corners of all samples, kept or not."""
        names = ("alpha", "ppl_low", "ppl_high", "entropy_low", "entropy_high")
        return {
            "thresholds": [
                {"samples": size, **dict(zip(names, values, strict=True))}
                for size, found in self.thresholds
                for values in zip(*(getattr(found, name).tolist() for name in names), strict=True)
            ],
            "corners": {
                name: int((self.corner == number).sum())
                for number, name in enumerate(("between", "q1", "q2", "q3", "q4"))
            },
        }


def divide(ppl: Floats, entropy: Floats, window: int, search: Search) -> Plane:
    """Divide n samples, in order, into windows of `window` (the last may be shorter) and choose in each."""
    corner, kept, treated_as = (np.zeros(len(ppl), kind) for kind in (np.int8, bool, np.int8))
    thresholds = []
    for part, width in _blocks(len(ppl), window):
        ppl_WB, entropy_WB = ppl[part].reshape(-1, width), entropy[part].reshape(-1, width)
        found = bisect(ppl_WB, entropy_WB, search)
        corners = found.corners(ppl_WB, entropy_WB)
        contrast = normalised(ppl_WB) - normalised(entropy_WB)
        corner[part] = corners.ravel()
        kept[part] = _choose(np.isin(corners, (2, 4)), np.abs(contrast), search).ravel()
        filled = np.where(contrast > 0, np.int8(2), np.int8(4))
        treated_as[part] = np.where(np.isin(corners, (2, 4)), corners, filled).ravel()
        thresholds.append((width, found))
    return Plane(corner, kept, treated_as, thresholds)


def _blocks(n: int, window: int) -> Iterator[tuple[slice, int]]:
    """Rows that make up whole windows, then the rows of the last, shorter one."""
    whole = n - n % window
    if whole:
        yield slice(0, whole), window
    if whole < n:
        yield slice(whole, n), n - whole


def bisect(ppl_WB: Floats, entropy_WB: Floats, search: Search) -> Thresholds:
    """Algorithm 1's search for alpha = beta in (0, upper); the thresholds of the last step tested.

    alpha is the exact fraction upper * level / 2^steps, so no quantile's rank hangs on rounding.
    """
    windows, size = ppl_WB.shape
    enough = ceil(exact(search.sample_ratio) * size)
    ppl_sorted, entropy_sorted = np.sort(ppl_WB, axis=1), np.sort(entropy_WB, axis=1)
    low, high = np.zeros(windows, np.int64), np.full(windows, 2**search.steps)
    for _ in range(search.steps):
        level = (low + high) // 2
        found = _thresholds(ppl_sorted, entropy_sorted, level, exact(search.upper) / 2**search.steps)
        few = np.isin(found.corners(ppl_WB, entropy_WB), (2, 4)).sum(axis=1) < enough
        low, high = np.where(few, level, low), np.where(few, high, level)
    return found


def _thresholds(ppl_sorted: Floats, entropy_sorted: Floats, level: Ints, unit: Fraction) -> Thresholds:
    """Inverted-CDF quantiles at alpha and 1 - alpha: the ceil(g B)-th smallest value."""
    size = ppl_sorted.shape[1]
    below = -floor_times(-unit * size, level) - 1
    above = size - floor_times(unit * size, level) - 1
    row = np.arange(len(level))
    at = [values[row, rank] for values in (ppl_sorted, entropy_sorted) for rank in (below, above)]
    return Thresholds((level * float(unit)).astype(np.float64), *at)


def normalised(values_WB: Floats) -> Floats:
    """Min-max in each window; a constant axis is 0."""
    low, high = values_WB.min(axis=1, keepdims=True), values_WB.max(axis=1, keepdims=True)
    spread: Floats = (values_WB - low) / np.where(high > low, high - low, 1.0)
    return spread


def _choose(members: Bools, contrast: Floats, search: Search) -> Bools:
    """Keep members of Q2 and Q4; fill or trim by |PPL_norm - Ent_norm|, of equals the earlier row [w, B]."""
    target = counts(search.sample_ratio, np.array([members.shape[1]]))
    many = target if search.trim else np.maximum(target, members.sum(axis=1))
    order = np.lexsort((-contrast, ~members), axis=1)
    kept = np.zeros_like(members)
    np.put_along_axis(kept, order, np.arange(members.shape[1]) < np.reshape(many, (-1, 1)), axis=1)
    return kept
