"""Tests beside ours, over many tables at once: an oracle that knows the variances, and what prunegrid 0.1 did.

Arrays are [T, C, W]: tables, columns (five benchmarks and Avg), rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ALPHA = 0.05
DRAWS = 40_000


@dataclass(frozen=True)
class Verdict:
    """Half widths of the 95 % interval for recipes, and what is marked."""

    half: Floats
    marked: Bools


def oracle(deltas: Floats) -> Verdict:
    """Step-down max-t with the true variances and correlations: those of the simulated deltas themselves [C, W]."""
    sd = deltas.std(axis=0, ddof=1)
    size = np.abs(deltas) / sd
    marked = np.zeros(deltas.shape, bool)
    for column in range(deltas.shape[1]):
        limits = _limits(np.corrcoef(deltas[:, column].T))
        for table, row_sizes in enumerate(size[:, column]):
            for step, row in enumerate(np.argsort(-row_sizes)):
                if row_sizes[row] < limits[step]:
                    break
                marked[table, column, row] = True
    return Verdict(np.broadcast_to(1.959964 * sd, deltas.shape), marked)


def _limits(correlation: Floats) -> Floats:
    """Of the step-down: 95 % quantiles of the largest of W, W - 1, ... rows. Rows are nearly exchangeable."""
    root = np.linalg.cholesky(correlation + 1e-9 * np.eye(len(correlation)))
    draws = np.abs(np.random.default_rng(0).normal(size=(DRAWS, len(correlation))) @ root.T)
    return np.quantile(np.maximum.accumulate(draws[:, ::-1], axis=1), 1 - ALPHA, axis=0)[::-1]


def old(
    deltas: Floats, item_variance: Floats, added: Floats, item_df: Floats, seed_variance: Floats, seeds: int
) -> Verdict:
    """prunegrid 0.1: half widths of items and seeds added in squares, Holm's correction.

    `added`: the variance of one more item won and one more lost, which it added everywhere; `seed_variance` that of
    the mean over seeds. Noise of an item and a seed is in both.
    """

    def half(level: float) -> Floats:
        items = special.stdtrit(item_df, 1 - level / 2) ** 2 * (item_variance + added)
        return np.sqrt(items + special.stdtrit(seeds - 1.0, 1 - level / 2) ** 2 * seed_variance)

    rows = deltas.shape[2]
    marked, going = np.zeros(deltas.shape, bool), np.ones(deltas.shape[:2], bool)
    for step in range(rows):  # Holm: the step-th smallest p-value is below ALPHA / (rows - step)
        below = np.abs(deltas) > half(ALPHA / (rows - step))
        going &= below.sum(axis=2) > step
        marked |= below & going[..., None]
    return Verdict(half(ALPHA), marked)
