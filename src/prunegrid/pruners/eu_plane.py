"""The error-uncertainty plane of Q-Tuning: bisected corner thresholds, the fill rule and the trim rule.

Everything is vectorised over windows: arrays are [w, B], w windows of B samples each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunegrid.core.ragged import Bools, Floats, Ints, exact_fraction, floor_times, keep_counts
from prunegrid.pruners.options import OptionGroup

LISTED_WINDOWS = 64


class Reading(OptionGroup):
    """How the points that the paper leaves open are read; docs/pruners.md says what each value means."""

    surplus: Literal["trim", "keep"] = "trim"
    trim_order: Literal["contrast", "random"] = "contrast"
    fill: Literal["contrast", "random", "none"] = "contrast"
    filled_tokens: Literal["contrast", "prune", "keep"] = "contrast"
    edges: Literal["repeat", "zero"] = "repeat"
    bisection_steps: Annotated[int, Field(ge=1, le=30)] = 10
    final: Literal["last", "tight", "loose"] = "last"
    upper: Annotated[float, Field(gt=0, le=0.5)] = 0.49

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}


PAPER = Reading()


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
    """Each sample's place [n]: its corner, whether it is kept, and by which corner's token rule."""

    corner: NDArray[np.int8]
    kept: Bools
    treated_as: NDArray[np.int8]
    thresholds: list[tuple[int, Thresholds]]

    def quadrant(self, rows: Ints) -> NDArray[np.int8]:
        """2 or 4; 0 for samples that the fill rule kept."""
        return np.where(_in_q2_or_q4(self.corner[rows]), self.corner[rows], 0).astype(np.int8)

    def reason(self, rows: Ints) -> NDArray[np.str_]:
        return np.array(["fill", "", "q2", "", "q4"])[self.quadrant(rows)]

    def details(self) -> dict[str, Any]:
        """For `selection.json`: thresholds by window, the corners of all samples, and the way each one took."""
        members = _in_q2_or_q4(self.corner)
        return {
            "thresholds": self._thresholds(),
            "corners": {
                name: int((self.corner == number).sum())
                for number, name in enumerate(("between", "q1", "q2", "q3", "q4"))
            },
            "paths": {
                "q2": int((self.kept & (self.corner == 2)).sum()),
                "q4": int((self.kept & (self.corner == 4)).sum()),
                "filled": int((self.kept & ~members).sum()),
                "trimmed": int((~self.kept & members).sum()),
            },
        }

    def _thresholds(self) -> list[dict[str, float]] | dict[str, Any]:
        """One entry a window; of more than 64 windows their number, and quartiles of each threshold."""
        names = ("alpha", "ppl_low", "ppl_high", "entropy_low", "entropy_high")
        windows = sum(len(found.alpha) for _, found in self.thresholds)
        if windows > LISTED_WINDOWS:
            of = {name: np.concatenate([getattr(found, name) for _, found in self.thresholds]) for name in names}
            quartiles = {name: np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist() for name, values in of.items()}
            return {"windows": windows, "quartiles": quartiles}
        return [
            {"samples": size, **dict(zip(names, values, strict=True))}
            for size, found in self.thresholds
            for values in zip(*(getattr(found, name).tolist() for name in names), strict=True)
        ]


def _in_q2_or_q4(corner: NDArray[np.int8]) -> Bools:
    """Whether in Q2 or Q4."""
    members: Bools = (corner == 2) | (corner == 4)
    return members


def divide(ppl: Floats, entropy: Floats, luck: Floats, window: int, sample_ratio: float, reading: Reading) -> Plane:
    """Divide n samples, in order, into windows of `window` (the last may be shorter) and choose in each.

    `luck` [n] orders what is filled or trimmed at random.
    """
    corner, kept, treated_as = (np.zeros(len(ppl), kind) for kind in (np.int8, bool, np.int8))
    thresholds = []
    for part, width in _blocks(len(ppl), window):
        ppl_WB, entropy_WB, luck_WB = (column[part].reshape(-1, width) for column in (ppl, entropy, luck))
        found = bisect(ppl_WB, entropy_WB, sample_ratio, reading)
        corners = found.corners(ppl_WB, entropy_WB)
        contrast = normalised(ppl_WB) - normalised(entropy_WB)
        corner[part] = corners.ravel()
        kept[part] = _choose(_in_q2_or_q4(corners), np.abs(contrast), luck_WB, sample_ratio, reading).ravel()
        treated_as[part] = np.where(_in_q2_or_q4(corners), corners, _fill_corner(contrast, reading)).ravel()
        thresholds.append((width, found))
    return Plane(corner, kept, treated_as, thresholds)


def _fill_corner(contrast: Floats, reading: Reading) -> NDArray[np.int8]:
    """The corner whose token rule a filled sample follows."""
    if reading.filled_tokens == "contrast":
        return np.where(contrast > 0, np.int8(2), np.int8(4))
    return np.full(contrast.shape, 2 if reading.filled_tokens == "prune" else 4, np.int8)


def _blocks(n: int, window: int) -> Iterator[tuple[slice, int]]:
    """Rows that make up whole windows, then the rows of the last, shorter one."""
    whole = n - n % window
    if whole:
        yield slice(0, whole), window
    if whole < n:
        yield slice(whole, n), n - whole


def bisect(ppl_WB: Floats, entropy_WB: Floats, sample_ratio: float, reading: Reading) -> Thresholds:
    """Algorithm 1's search for alpha = beta in (0, upper): the thresholds of the last step tested, or of an end.

    alpha is the exact fraction upper * level / 2^steps, so no quantile's rank hangs on rounding.
    """
    windows, size = ppl_WB.shape
    enough = ceil(exact_fraction(sample_ratio) * size)
    unit = exact_fraction(reading.upper) / 2**reading.bisection_steps
    ppl_sorted, entropy_sorted = np.sort(ppl_WB, axis=1), np.sort(entropy_WB, axis=1)
    low, high = np.zeros(windows, np.int64), np.full(windows, 2**reading.bisection_steps)
    for _ in range(reading.bisection_steps):
        level = (low + high) // 2
        found = _thresholds(ppl_sorted, entropy_sorted, level, unit)
        few = _in_q2_or_q4(found.corners(ppl_WB, entropy_WB)).sum(axis=1) < enough
        low, high = np.where(few, level, low), np.where(few, high, level)
    if reading.final == "last":
        return found
    return _thresholds(ppl_sorted, entropy_sorted, low if reading.final == "tight" else high, unit)


def _thresholds(ppl_sorted: Floats, entropy_sorted: Floats, level: Ints, unit: Fraction) -> Thresholds:
    """Inverted-CDF quantiles at alpha and 1 - alpha: the ceil(g B)-th smallest value, at least the first."""
    size = ppl_sorted.shape[1]
    below = np.maximum(-floor_times(-unit * size, level), 1) - 1
    above = size - floor_times(unit * size, level) - 1
    row = np.arange(len(level))
    at = [values[row, rank] for values in (ppl_sorted, entropy_sorted) for rank in (below, above)]
    return Thresholds((level * float(unit)).astype(np.float64), *at)


def normalised(values_WB: Floats) -> Floats:
    """Min-max in each window; a constant axis is 0."""
    low, high = values_WB.min(axis=1, keepdims=True), values_WB.max(axis=1, keepdims=True)
    spread: Floats = (values_WB - low) / np.where(high > low, high - low, 1.0)
    return spread


def _choose(members: Bools, contrast: Floats, luck: Floats, sample_ratio: float, reading: Reading) -> Bools:
    """Keep members of Q2 and Q4; fill or trim by |PPL_norm - Ent_norm| or luck, of equals the earlier row [w, B]."""
    many = np.broadcast_to(keep_counts(sample_ratio, np.array([members.shape[1]])), len(members))
    if reading.surplus == "keep":
        many = np.maximum(many, members.sum(axis=1))
    if reading.fill == "none":
        many = np.minimum(many, members.sum(axis=1))
    trim = luck if reading.trim_order == "random" else contrast
    fill = luck if reading.fill == "random" else contrast
    order = np.lexsort((-np.where(members, trim, fill), ~members), axis=1)
    kept = np.zeros_like(members)
    np.put_along_axis(kept, order, np.arange(members.shape[1]) < many[:, None], axis=1)
    return kept
