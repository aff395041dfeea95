"""Inference for paired differences of models' scores: two questions, their intervals, p-values and a correction.

*Do these models differ?* Other items of the same kind, given the trained models. The variance of a difference is that
of its mean over items, cluster-robust (Liang and Zeger 1986): sum of squares of the clusters' residuals, with
U/(U - 1); limits are Student's t. It contains the mean over seeds of the noise that belongs to an item *and* a seed.

*Does the recipe differ?* Other items and other training runs. Two-way analysis of variance: with i the item variance
above, v the variance of one seed's difference, and w that part of v that belongs to an item and a seed, the variance
of the mean over S seeds is i + v/S - w/S (w/S is in both of the others; Cameron, Gelbach and Miller 2011, Journal of
Business & Economic Statistics 29:238). It is never below i. `statistics.run_noise` estimates v. Degrees of freedom are
Satterthwaite's (1946) over i and v/S. As v cannot lie below w, the uncertainty of v/S is taken at max(v, w)/S: else a
v that is small by chance would seem to be certain.

*Correction*: step-down max-t over the rows of a family (Westfall and Young 1993, algorithm 2.8; a parametric bootstrap
as in Hothorn, Bretz and Westfall 2008, Biometrical Journal 50:346). Rows share items and the baseline's runs, so their
statistics are correlated: normal draws with that correlation give the distribution of the largest of them. t statistics
enter by their p-values, so each keeps its degrees of freedom.

A variance from items cannot know what did not happen: it is too small if few items differ, and zero if none does. So
the noise of one more item won and one more lost (Agresti and Min 2005, Statistics in Medicine 24:729, add half of
that) is added where fewer than 30 clusters differ, the less the more there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import inf, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from prunegrid.core.ragged import Floats, Ints
from prunegrid.statistics.bootstrap import MIN_CLUSTERS, cluster_sums

ALPHA = 0.05
MIN_SEEDS = 3
NEGLIGIBLE = 1e-9  # points, or items
MIN_LEVEL = 1e-100  # the smallest p-value
FEW = 30  # clusters that differ
DRAWS = 20_000
Interval = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """A difference in points: per paired seed [S], and the clusters' residuals of its mean over seeds [U].

    The sum of squares of `residual_U` is the item variance, that of products with another effect's their covariance.
    `both_se`: standard error of the noise that belongs to an item and a seed (zero for one seed).
    `added_se`: that of one more item won and one more lost, where few differ.
    `draw_se`: the part of `item_se` that is other draws of the same items' answers (`statistics.draws`); NaN: unknown.
    `n_differing`: clusters in which the two sides' scores differ. Fewer than 10 clusters: standard errors are NaN.
    """

    deltas_S: Floats
    residual_U: Floats
    both_se: float
    added_se: float
    item_df: float
    n_items: int
    n_clusters: int
    n_differing: int
    draw_se: float = nan

    @property
    def n_seeds(self) -> int:
        return len(self.deltas_S)

    @property
    def delta(self) -> float:
        return float(self.deltas_S.mean())

    @cached_property
    def seed_sd(self) -> float:
        return float(self.deltas_S.std(ddof=1)) if self.n_seeds > 1 else nan

    @cached_property
    def item_se(self) -> float:
        return sqrt(self.residual_U @ self.residual_U + self.added_se**2)


@dataclass(frozen=True)
class Noise:
    """The noise of a difference, as standard errors in points: of items, and of runs beyond what items contain.

    `run_df`: degrees of freedom of the variance of a seed's difference; `both_se`: the part of `item_se` that belongs
    to an item and a seed.
    """

    item_se: float
    item_df: float
    run_se: float = 0.0
    run_df: float = inf
    both_se: float = 0.0

    @property
    def se(self) -> float:
        return float(np.hypot(self.item_se, self.run_se))

    @property
    def df(self) -> float:
        """Satterthwaite's, and never below those of the parts; the items' where nothing varies."""
        if not self.se > 0:
            return self.item_df
        runs = (self.run_se**2 + self.both_se**2) ** 2 / self.run_df
        df = self.se**4 / (self.item_se**4 / self.item_df + runs)
        # `both_se` may exceed `item_se`, both being estimates: Satterthwaite's formula then leaves its range
        return max(df, min(self.item_df, self.run_df))

    def interval(self, delta: float) -> Interval:
        """95 %."""
        return _interval(delta, critical_value(self.df, ALPHA) * self.se)

    def p_value(self, delta: float, n_differing: float = inf) -> float:
        """Two-sided; 1 for a difference of zero. Never below 2^(1 - n_differing), the least that a sign test gives."""
        if np.isnan(self.se):
            return nan
        if abs(delta) < NEGLIGIBLE:
            return 1.0
        p = 2 * special.stdtr(self.df, -abs(delta) / self.se) if self.se > 0 else 0.0
        return float(max(p, min(1.0, 2.0 ** (1 - n_differing)), MIN_LEVEL))


def item_effect(diffs_SI: Floats, cluster_I: Ints | None = None, draw_se: float = nan) -> Effect:
    """The effect of differences per seed and item, -1 to 1, with each item's cluster from 0; None: each its own."""
    seeds, items = diffs_SI.shape
    cluster_I = np.arange(items) if cluster_I is None else cluster_I
    means_S = diffs_SI.mean(axis=1)
    sums_SU = cluster_sums(diffs_SI, cluster_I)
    sizes_U = np.bincount(cluster_I)
    clusters = len(sizes_U)
    differing = int(np.count_nonzero(np.abs(sums_SU.mean(axis=0)) > NEGLIGIBLE))
    if clusters < MIN_CLUSTERS:
        return Effect(100 * means_S, np.full(1, nan), nan, nan, nan, items, clusters, differing, draw_se)
    residual_SU = 100 / items * sqrt(clusters / (clusters - 1)) * (sums_SU - means_S[:, None] * sizes_U)
    residual_U = residual_SU.mean(axis=0)
    both = ((residual_SU - residual_U) ** 2).sum() / (seeds - 1) / seeds if seeds > 1 else 0.0
    added = sqrt(2 * max(0.0, 1 - differing / FEW)) * 100 / items
    centred_I = diffs_SI.mean(axis=0) - means_S.mean()
    df = _effective(centred_I, np.bincount(cluster_I, centred_I), sizes_U) - 1
    return Effect(100 * means_S, residual_U, sqrt(both), added, df, items, clusters, differing, draw_se)


def average_effect(effects: Sequence[Effect]) -> Effect:
    """The plain mean over benchmarks of the same seeds; their items are independent."""
    variances = np.array([part.item_se**2 for part in effects])
    dfs = np.array([part.item_df for part in effects])
    total, number = variances.sum(), len(effects)
    return Effect(
        np.mean([part.deltas_S for part in effects], axis=0),
        np.concatenate([part.residual_U for part in effects]) / number,
        sqrt(sum(part.both_se**2 for part in effects)) / number,
        sqrt(sum(part.added_se**2 for part in effects)) / number,
        float(dfs.min() if total == 0 else total**2 / (variances**2 / dfs).sum()),
        sum(part.n_items for part in effects),
        sum(part.n_clusters for part in effects),
        sum(part.n_differing for part in effects),
        sqrt(sum(part.draw_se**2 for part in effects)) / number,
    )


def item_noise(effect: Effect) -> Noise:
    """The noise for the first question: these models on other items."""
    return Noise(effect.item_se, effect.item_df)


def recipe_noise(effect: Effect, variance: float, df: float) -> Noise:
    """The noise for the second question, given the variance of one seed's difference, in points squared."""
    excess = max(0.0, variance / effect.n_seeds - effect.both_se**2)
    return Noise(effect.item_se, effect.item_df, sqrt(excess), df, effect.both_se)


def correlation(effects: Sequence[Effect], noises: Sequence[Noise], shared_W: Floats) -> Floats:
    """Of the effects' estimates [W, W]: items, and the share of each one's run variance that is the baseline's."""
    shared = np.array([noise.run_se for noise in noises]) * np.sqrt(shared_W)
    return _correlation(effects, noises, np.outer(shared, shared))


def correlation_of_runs(effects: Sequence[Effect], noises: Sequence[Noise], runs_WW: Floats) -> Floats:
    """Of the effects' estimates [W, W], given the correlation of what runs add to each."""
    run_se = np.array([noise.run_se for noise in noises])
    return _correlation(effects, noises, runs_WW * np.outer(run_se, run_se))


def _correlation(effects: Sequence[Effect], noises: Sequence[Noise], run_covariance_WW: Floats) -> Floats:
    residual_WU = np.stack([effect.residual_U for effect in effects])
    covariance = residual_WU @ residual_WU.T + run_covariance_WW
    variance = np.array([noise.se**2 for noise in noises])
    np.fill_diagonal(covariance, variance)
    scale = np.sqrt(np.where(variance > 0, variance, 1))
    matrix: Floats = covariance / np.outer(scale, scale)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def adjusted(p_values: Floats, correlation_WW: Floats) -> tuple[Floats, float]:
    """Step-down max-t: each p-value [W] for the whole family, statistics having this correlation.

    And the level of the first step: the p-value that some row of a family of true nulls goes below in 5 % of tables.
    Where no draw is as large as a row, Holm's bound (1979), which needs no draws, is the answer.
    """
    rows = len(p_values)
    if rows == 1:
        return p_values, ALPHA
    order = np.argsort(p_values, kind="stable")
    sorted_p = p_values[order]
    largest_WJ = _draws(correlation_WW[np.ix_(order, order)])  # of a row and all that come after it
    for row in range(rows - 2, -1, -1):  # np.maximum.accumulate is much slower
        np.maximum(largest_WJ[row], largest_WJ[row + 1], out=largest_WJ[row])
    exceeding_W = (largest_WJ >= -special.ndtri(sorted_p / 2)[:, None]).sum(axis=1)
    least_W = np.minimum((exceeding_W + 1) / (DRAWS + 1), sorted_p * np.arange(rows, 0, -1))
    result = np.empty(rows)
    result[order] = np.maximum.accumulate(np.clip(least_W, sorted_p, 1))
    limit = np.partition(largest_WJ[0], round((1 - ALPHA) * DRAWS))[round((1 - ALPHA) * DRAWS)]
    return result, float(2 * special.ndtr(-limit))


def critical_value(df: float, alpha: float) -> float:
    """Two-sided critical value of Student's t (`scipy.stats.t.isf(alpha / 2, df)`, which costs a second to import)."""
    return -float(special.stdtrit(df, alpha / 2))


def sd_interval(sd: float, df: float) -> tuple[float, float]:
    """The 95 % interval of a standard deviation that was estimated with `df` degrees of freedom from normal values."""
    low, high = (sd * float(np.sqrt(df / special.chdtri(df, tail))) for tail in (ALPHA / 2, 1 - ALPHA / 2))
    return low, high


def holm(p_values: NDArray[np.floating]) -> Floats:
    """Holm's adjusted p-values (Holm 1979), by statsmodels; NaN is left out and stays NaN."""
    from statsmodels.stats.multitest import multipletests  # here, for it takes a second to import

    adjusted = np.full(len(p_values), nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = multipletests(p_values[tested], method="holm")[1]
    return adjusted


def _interval(delta: float, half: float) -> Interval:
    return delta - half, delta + half


def _effective(residual_I: Floats, sums_U: NDArray[Any], sizes_U: NDArray[Any]) -> float:
    """How many clusters of equal size would know the variance as well: fewer if some are much larger than others.

    A cluster's sum has the variance a n + b n^2, a the items' own, b what a cluster's have in common: estimated by
    the one-way analysis of variance. The answer is (sum of these)^2 by the sum of their squares.
    """
    items, squares = len(residual_I), float((sizes_U.astype(np.float64) ** 2).sum())
    total = float(residual_I @ residual_I)
    if squares == items or total == 0:
        return len(sizes_U)
    common = min(max(0.0, float(sums_U @ sums_U) - total) / (squares - items), total / items)
    variance_U = (total / items - common) * sizes_U + common * sizes_U.astype(np.float64) ** 2
    return float(variance_U.sum() ** 2 / (variance_U @ variance_U))


def _draws(correlation_WW: Floats) -> NDArray[np.float32]:
    """Absolute values of normal draws with this correlation [W, J]; the same underlying draws in every call."""
    values, vectors = np.linalg.eigh(correlation_WW)
    root_WW = vectors * np.sqrt(np.maximum(values, 0))
    sizes_WJ: NDArray[np.float32] = np.abs(root_WW.astype(np.float32) @ _normal(len(values)))
    return sizes_WJ


@lru_cache(maxsize=4)
def _normal(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).standard_normal((rows, DRAWS), dtype=np.float32)
