"""The rows of a table that are corrected together: their noise, their p-values, and those for the whole family.

`assess` takes a table of comparisons with one baseline: a column per benchmark, averages beside them. Without scores
of several runs it answers the first question only: do these models differ.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan, sqrt
from typing import Any

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.statistics.inference import (
    MIN_SEEDS,
    Effect,
    Noise,
    adjusted,
    correlation,
    item_noise,
    recipe_noise,
)
from prunegrid.statistics.run_noise import Column, RunNoise, run_noise

Scores = Mapping[Any, Mapping[int | None, float]]
"""Percent, of each recipe and seed; a recipe without seeds (zero-shot) has None."""


@dataclass(frozen=True)
class Comparison:
    """One row of a column: two recipes' names and the effect."""

    variant: Hashable
    baseline: Hashable
    effect: Effect


@dataclass(frozen=True)
class Assessment:
    """A comparison with its noise for both questions. NaN where it isn't tested: see `n_family`.

    `noise` is NaN for a single seed. `shared`: the part of its run variance that is the baseline's. `p` and
    `p_adjusted` are of the second question, and exist from three seeds on; `level` is the p-value below which a row
    alone is marked; `n_family` the rows corrected together, 0 if this is none.
    """

    comparison: Comparison
    items: Noise
    noise: Noise
    shared: float = 0.0
    p: float = nan
    p_adjusted: float = nan
    level: float = nan
    n_family: int = 0

    @property
    def item_p(self) -> float:
        effect = self.comparison.effect
        return self.items.p_value(effect.delta, effect.n_differing)


def assess(
    columns: Mapping[str, Sequence[Comparison]], scores: Mapping[str, Scores], averages: Sequence[str] = ()
) -> dict[str, list[Assessment]]:
    """Each column's comparisons with their noise and p-values, corrected within the column.

    `scores`: of every run in the same columns; `averages` names the columns that are means of others.
    """
    variances = run_noises(columns, scores, averages)
    return {
        name: _tested(
            [_assessment(comparison, *_difference(comparison, variances[name])) for comparison in comparisons]
        )
        for name, comparisons in columns.items()
    }


def item_adjusted(rows: Sequence[Assessment]) -> tuple[Floats, float]:
    """p-values of the first question [W], corrected for these rows, and the level below which a row alone is marked.

    NaN where there are too few clusters.
    """
    p_W = np.array([row.item_p for row in rows])
    known = [i for i, p in enumerate(p_W) if not np.isnan(p)]
    if known:
        effects = [rows[i].comparison.effect for i in known]
        matrix = correlation(effects, [rows[i].items for i in known], np.zeros(len(known)))
        p_W[known], level = adjusted(p_W[known], matrix)
        return p_W, level
    return p_W, nan


def run_noises(
    columns: Mapping[str, Sequence[Comparison]], scores: Mapping[str, Scores], averages: Sequence[str]
) -> dict[str, dict[Hashable, tuple[float, float]]]:
    """Of each column's recipes, one run's variance [points squared] and its degrees of freedom; those with seeds."""
    sides = {
        side
        for comparisons in columns.values()
        for comparison in comparisons
        for side in (comparison.variant, comparison.baseline)
    }
    sides = {side for side in sides if _seeds(scores, side)}
    recipes = sorted(sides, key=repr)
    seeds = sorted({seed for side in recipes for seed in _seeds(scores, side)})
    everyone = [comparison for comparisons in columns.values() for comparison in comparisons]
    blocks = all({comparison.variant, comparison.baseline} <= sides for comparison in everyone)
    if not recipes:
        return {name: {} for name in columns}
    parts = [
        Column(
            np.array([[scores[name].get(side, {}).get(seed, nan) for seed in seeds] for side in recipes]),
            _answer_variance(comparisons, sides),
            name in averages,
        )
        for name, comparisons in columns.items()
    ]
    return {
        name: _by_recipe(recipes, part) for name, part in zip(columns, run_noise(parts, blocks=blocks), strict=True)
    }


def _by_recipe(recipes: Sequence[Hashable], noise: RunNoise) -> dict[Hashable, tuple[float, float]]:
    return {side: (float(v), float(df)) for side, v, df in zip(recipes, noise.variance_E, noise.df_E, strict=True)}


def _seeds(scores: Mapping[str, Scores], side: Hashable) -> set[int]:
    return {seed for column in scores.values() for seed in column.get(side, {}) if seed is not None}


def _answer_variance(comparisons: Sequence[Comparison], seeded: set[Hashable]) -> float:
    """Of one score, the part that belongs to an item and a seed: half of that of a difference of two trained models."""
    found = [
        comparison.effect.both_se**2
        * comparison.effect.n_seeds
        / len({comparison.variant, comparison.baseline} & seeded)
        for comparison in comparisons
        if comparison.effect.n_seeds > 1 and not np.isnan(comparison.effect.both_se)
    ]
    return float(np.mean(found)) if found else 0.0


def _difference(comparison: Comparison, noises: Mapping[Hashable, tuple[float, float]]) -> tuple[float, float, float]:
    """The variance of one seed's difference, its degrees of freedom, and the part that is the baseline's.

    Both variances lean on the same pool, so their errors are taken for fully dependent.
    """
    known = [noises[side] for side in (comparison.variant, comparison.baseline) if side in noises]
    total = sum(variance for variance, _ in known)
    if not total > 0:
        return 0.0, min((df for _, df in known), default=1.0) or 1.0, 0.0
    if any(not df > 0 for _, df in known):
        return nan, nan, 0.0
    error = sum(variance / sqrt(df) for variance, df in known)
    return total, (total / error) ** 2, noises[comparison.baseline][0] / total if comparison.baseline in noises else 0.0


def _assessment(comparison: Comparison, variance: float, df: float, shared: float) -> Assessment:
    unknown = Noise(nan, nan, nan, nan, nan)
    noise = recipe_noise(comparison.effect, variance, df) if comparison.effect.n_seeds > 1 else unknown
    return Assessment(comparison, item_noise(comparison.effect), unknown if np.isnan(noise.se) else noise, shared)


def _tested(rows: Sequence[Assessment]) -> list[Assessment]:
    """The rows of one column with p-values, those of three seeds or more corrected together."""
    family = [i for i, row in enumerate(rows) if row.comparison.effect.n_seeds >= MIN_SEEDS and row.noise.se >= 0]
    result = list(rows)
    if not family:
        return result
    effects = [rows[i].comparison.effect for i in family]
    p_W = np.array([rows[i].noise.p_value(e.delta, e.n_differing) for i, e in zip(family, effects, strict=True)])
    matrix = _matrix([rows[i] for i in family])
    adjusted_W, level = adjusted(p_W, matrix)
    for i, p, p_adjusted in zip(family, p_W, adjusted_W, strict=True):
        result[i] = replace(rows[i], p=float(p), p_adjusted=float(p_adjusted), level=level, n_family=len(family))
    return result


def _matrix(rows: Sequence[Assessment]) -> Floats:
    """The correlation of their estimates; runs of different baselines are independent."""
    one_baseline = len({row.comparison.baseline for row in rows}) == 1
    shared_W = np.array([row.shared * one_baseline for row in rows])
    return correlation([row.comparison.effect for row in rows], [row.noise for row in rows], shared_W)
