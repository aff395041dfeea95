"""The error-uncertainty plane of Q-Tuning: who is in which corner, the fill rule and the trim rule.

Everything is vectorised over windows of equal size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Bools, Floats, Ints, exact_fraction, keep_counts, mark_top_k
from prunegrid.pruners.eu_reading import Reading
from prunegrid.pruners.eu_thresholds import Thresholds, bisect, members

LISTED_WINDOWS = 64
TOGETHER = 2**20  # samples of the windows that are divided at a time


@dataclass(frozen=True)
class Plane:
    """The place of each sample [n]: its corner, whether it is kept, and the corner whose token rule it follows."""

    corner: NDArray[np.int8]
    is_kept: Bools
    treated_as: NDArray[np.int8]
    thresholds: list[tuple[int, Thresholds]]

    def quadrant(self, rows: Ints) -> NDArray[np.int8]:
        """2 or 4; 0 for samples that the fill rule kept."""
        return np.where(members(self.corner[rows]), self.corner[rows], 0).astype(np.int8)

    def reason(self, rows: Ints) -> NDArray[np.str_]:
        return np.array(["fill", "", "q2", "", "q4"])[self.quadrant(rows)]

    def details(self) -> dict[str, Any]:
        """For `selection.json`: thresholds by window, the corners of all samples, and the rule that decided on each."""
        is_member = members(self.corner)
        return {
            "thresholds": self._thresholds(),
            "corners": {
                name: int((self.corner == number).sum())
                for number, name in enumerate(("between", "q1", "q2", "q3", "q4"))
            },
            "paths": {
                "q2": int((self.is_kept & (self.corner == 2)).sum()),
                "q4": int((self.is_kept & (self.corner == 4)).sum()),
                "filled": int((self.is_kept & ~is_member).sum()),
                "trimmed": int((~self.is_kept & is_member).sum()),
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


def divide(
    ppl: Floats, entropy: Floats, luck: Floats | None, window: int, sample_ratio: float, reading: Reading
) -> Plane:
    """Divide n samples, in order, into windows of `window` samples (the last may be shorter), and choose in each.

    `luck` [n] is the order of samples that are filled or trimmed at random, where the reading asks for that.
    """
    corner, is_kept, treated_as = (np.zeros(len(ppl), kind) for kind in (np.int8, bool, np.int8))
    thresholds = []
    for part, size in _equal_windows(len(ppl), window):
        ppl_YN, entropy_YN = (column[part].reshape(-1, size) for column in (ppl, entropy))
        luck_YN = None if luck is None else luck[part].reshape(-1, size)
        group = bisect(ppl_YN, entropy_YN, sample_ratio, reading)
        corner_YN = group.corners(ppl_YN, entropy_YN)
        member_YN = members(corner_YN)
        contrast_YN = _contrast(ppl_YN, entropy_YN)
        corner[part] = corner_YN.ravel()
        treated_as[part] = np.where(member_YN, corner_YN, _fill_corner(contrast_YN, reading)).ravel()
        np.abs(contrast_YN, out=contrast_YN)
        is_kept[part] = _choose(member_YN, contrast_YN, luck_YN, sample_ratio, reading).ravel()
        thresholds.append((size, group))
    return Plane(corner, is_kept, treated_as, thresholds)


def _fill_corner(contrast_YN: Floats, reading: Reading) -> NDArray[np.int8]:
    """The corner whose token rule a filled sample follows."""
    if reading.filled_tokens == "contrast":
        is_pruned = contrast_YN >= 0 if reading.filled_tie == "prune" else contrast_YN > 0
        return np.where(is_pruned, np.int8(2), np.int8(4))
    return np.full(contrast_YN.shape, 2 if reading.filled_tokens == "prune" else 4, np.int8)


def _equal_windows(n: int, window: int) -> Iterator[tuple[slice, int]]:
    """The rows of all whole windows, some at a time, then those of the last, shorter one; each with their size."""
    whole = n - n % window
    some = window * max(1, TOGETHER // window)
    for start in range(0, whole, some):
        yield slice(start, min(start + some, whole)), window
    if whole < n:
        yield slice(whole, n), n - whole


def _contrast(ppl_YN: Floats, entropy_YN: Floats) -> Floats:
    """PPL minus entropy, each normalised in its window; piece by piece, since a window may be all the data."""
    contrast_YN, scale = normalised(ppl_YN), _range(entropy_YN)
    for start in range(0, ppl_YN.shape[1], TOGETHER):
        part = np.s_[:, start : start + TOGETHER]
        contrast_YN[part] -= _scaled(entropy_YN[part], *scale)
    return contrast_YN


def normalised(values_YN: Floats) -> Floats:
    """Min-max normalised in each window; 0 if all values are equal."""
    return _scaled(values_YN, *_range(values_YN))


def _range(values_YN: Floats) -> tuple[Floats, Floats]:
    """The least value of each window, and how much the largest is above it: 1 if all are equal [Y, 1]."""
    low, high = values_YN.min(axis=1, keepdims=True), values_YN.max(axis=1, keepdims=True)
    return low, np.where(high > low, high - low, 1.0)


def _scaled(values_YN: Floats, low: Floats, width: Floats) -> Floats:
    scaled: Floats = values_YN - low
    scaled /= width
    return scaled


def sample_count(sample_ratio: float, size: int, reading: Reading) -> int:
    """How many samples are to be kept of a window of `size`: at least one."""
    if reading.sample_count == "round":
        return max(1, round(exact_fraction(sample_ratio) * size))  # half to even
    return int(keep_counts(sample_ratio, np.array([size]))[0])


def _choose(
    member_YN: Bools, contrast_YN: Floats, luck_YN: Floats | None, sample_ratio: float, reading: Reading
) -> Bools:
    """Keep members of Q2 and Q4; fill or trim by |PPL_norm - Ent_norm| or luck; ties go to the earlier row [Y, N]."""
    windows, size = member_YN.shape
    member_count = member_YN.sum(axis=1)
    number = np.full(windows, sample_count(sample_ratio, size, reading))
    if reading.surplus == "keep":
        number = np.maximum(number, member_count)
    if reading.fill == "none":
        number = np.minimum(number, member_count)
    trim_YN, fill_YN = (
        luck_YN if luck_YN is not None and order == "random" else contrast_YN
        for order in (reading.trim_order, reading.fill)
    )
    if windows == 1:
        return _choose_in_one(member_YN[0], trim_YN[0], fill_YN[0], int(number[0]))[None]
    # Members come first, then the others, each by their own order: the first `number` are kept, so that too many
    # members are trimmed at their end and too few are filled up from the beginning of the others.
    order_YN = np.lexsort((-np.where(member_YN, trim_YN, fill_YN), ~member_YN), axis=1)
    is_kept_YN = np.zeros_like(member_YN)
    np.put_along_axis(is_kept_YN, order_YN, np.arange(size) < number[:, None], axis=1)
    return is_kept_YN


def _choose_in_one(member_N: Bools, trim_N: Floats, fill_N: Floats, number: int) -> Bools:
    """The `number` samples that `_choose` keeps of one window, which may be all the data: nothing is sorted."""
    spare = number - int(member_N.sum())
    if spare < 0:
        return mark_top_k(trim_N, member_N, number)
    return member_N | mark_top_k(fill_N, ~member_N, spare) if spare else member_N
