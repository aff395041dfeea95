"""Inference for a paired difference of two models' scores: intervals, p-values, Holm's correction.

`prunegrid.statistics.deltas` calls it for every row. It separates two kinds of noise:

- *Items*: other items of the same kind, given the trained models. Bootstrap over clusters, percentile interval.
- *Seeds*: other training runs, given the items. t interval of the per-seed differences.

`Effect.interval` covers both. Its half width is sqrt((t_item item_se)^2 + (t_seed seed_se)^2): each part's limit, added
in squares (Howe 1974, JASA 69:789; "MOVER": Zou and Donner 2008, Statistics in Medicine 27:1693). Why it errs on the
safe side in every mixture: write g(u) = P(|Z| > sqrt u), convex and falling, Z standard normal. If item noise is the
share w of the variance, a true null is rejected with probability E g(w t_item^2 X + (1 - w) t_seed^2 Y), where X and Y
are chi-squared over their degrees of freedom. By convexity that is at most w E g(t_item^2 X) + (1 - w) E g(t_seed^2 Y),
and each of these is the level, by what t is. Item-by-seed interaction is in both parts, so it is counted twice, which
only widens the interval. Exact for normal noise; tests/unit/statistics/test_simulated.py tries right-or-wrong items.

A bootstrap's spread is too small by sqrt((U - 1)/U) for U clusters, and normal quantiles are too short: with 10
clusters a nominal 5 % is 9.6 %, with 30 it is 6.4 %. So draws are spread by sqrt(U/(U - 1)), and limits are those of t
with U - 1 degrees of freedom (the "expanded percentile interval" of Hesterberg 2015, The American Statistician
69:371). An average over benchmarks has Satterthwaite's degrees of freedom. Fewer than 10 clusters: NaN.

A bootstrap cannot draw what did not happen: its interval is too short if few items differ, and [0, 0] if none does. So
the noise of one more item won and one more lost is added, in squares: a standard error of sqrt(2) 100/items points.
(Agresti and Min 2005, Statistics in Medicine 24:729, add half of that to paired proportions, which still covers only 90
% where 2 % of 200 items are won and none is lost.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from prunegrid.core.ragged import Floats
from prunegrid.statistics.bootstrap import MIN_CLUSTERS

ALPHA = 0.05
MIN_SEEDS = 3
NEGLIGIBLE = 1e-9  # points
MIN_LEVEL, MAX_LEVEL = 1e-100, 1 - 1e-6  # between which a p-value is sought
Interval = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """A difference in points: per paired seed [S], and its mean over seeds in each resample of the items [J].

    `added_se`: the standard error of one more item won and one more lost, in points.
    `item_df`: degrees of freedom of the item noise; NaN, as are the draws, if there are too few clusters.
    `n_differing`: clusters in which the two sides' scores differ.
    """

    deltas_S: Floats
    draws_J: Floats
    added_se: float
    item_df: float
    n_items: int
    n_clusters: int
    n_differing: int

    @property
    def n_seeds(self) -> int:
        return len(self.deltas_S)

    @property
    def delta(self) -> float:
        return float(self.deltas_S.mean())

    @cached_property
    def seed_sd(self) -> float:
        return float(self.deltas_S.std(ddof=1)) if self.n_seeds > 1 else nan

    @property
    def seed_se(self) -> float:
        return self.seed_sd / sqrt(self.n_seeds)

    @cached_property
    def item_se(self) -> float:
        return float(np.hypot(self.draws_J.std(), self.added_se))

    def item_interval(self) -> Interval:
        """95 %: how the mean of these trained models could differ with other items. NaN for too few clusters."""
        if np.isnan(self.item_df):
            return nan, nan
        limit = critical_value(self.item_df, ALPHA)
        tail = special.ndtr(-limit)
        low, high = np.hypot(np.quantile(self.draws_J, [tail, 1 - tail]) - self.delta, limit * self.added_se)
        return self.delta - float(low), self.delta + float(high)

    def seed_interval(self) -> Interval:
        """95 %: how the mean could differ with other training seeds; NaN for one seed."""
        return self._interval(critical_value(self.n_seeds - 1, ALPHA) * self.seed_se if self.n_seeds > 1 else nan)

    def interval(self) -> Interval:
        """95 %, items and seeds; NaN for one seed or too few clusters."""
        return self._interval(self.half_width(ALPHA))

    def half_width(self, alpha: float) -> float:
        """Half the width of `interval` at the level 1 - alpha."""
        if self.n_seeds < 2 or np.isnan(self.item_df):
            return nan
        return half_width(self.item_se, self.item_df, self.seed_se, self.n_seeds, alpha)

    def p_value(self) -> float:
        """The level at which `interval` touches zero; 1 for a difference of zero, NaN for fewer than three seeds.

        Two seeds' differences, counts over the same items, are often exactly equal: their spread of zero does not
        measure the seeds' noise (one of 17 null rows was significant in up to 15 % of simulations).
        The minimum is 2^(1 - n_differing), the lowest that a sign test over the clusters could give, or 1e-100; it is
        also the answer if nothing varies and the difference is not zero.
        """
        size, minimum = abs(self.delta), max(2.0 ** (1 - self.n_differing), MIN_LEVEL)
        if self.n_seeds < MIN_SEEDS or np.isnan(self.half_width(ALPHA)):
            return nan
        if size < NEGLIGIBLE or self.half_width(MAX_LEVEL) >= size:
            return 1.0
        if self.half_width(minimum) <= size:
            return minimum

        def excess(log_level: float) -> float:
            return log(self.half_width(exp(log_level)) / size)

        return exp(optimize.brentq(excess, log(minimum), log(MAX_LEVEL), xtol=1e-12))

    def _interval(self, half: float) -> Interval:
        return self.delta - half, self.delta + half


def estimate_effect(deltas_S: Floats, draws_J: Floats, n_items: int, n_clusters: int, n_differing: int) -> Effect:
    """The effect, given per-seed differences and the plain bootstrap's draws of their mean, both in points."""
    if n_clusters < MIN_CLUSTERS:
        return Effect(deltas_S, np.full_like(draws_J, nan), nan, nan, n_items, n_clusters, n_differing)
    mean = deltas_S.mean()
    spread_J = mean + sqrt(n_clusters / (n_clusters - 1)) * (draws_J - mean)
    return Effect(deltas_S, spread_J, sqrt(2) * 100 / n_items, n_clusters - 1, n_items, n_clusters, n_differing)


def average_effect(effects: Sequence[Effect]) -> Effect:
    """The plain mean over benchmarks of the same seeds, each resampled on its own: a stratified bootstrap."""
    variances = np.array([part.item_se**2 for part in effects])
    dfs = np.array([part.item_df for part in effects])
    total = variances.sum()
    return Effect(
        np.mean([part.deltas_S for part in effects], axis=0),
        np.mean([part.draws_J for part in effects], axis=0),
        sqrt(sum(part.added_se**2 for part in effects)) / len(effects),
        float(dfs.min() if total == 0 else total**2 / (variances**2 / dfs).sum()),
        sum(part.n_items for part in effects),
        sum(part.n_clusters for part in effects),
        sum(part.n_differing for part in effects),
    )


def half_width(item_se: float, item_df: float, seed_se: float, n_seeds: int, alpha: float) -> float:
    """Half the width of the interval for both noises at the level 1 - alpha."""
    return float(np.hypot(critical_value(item_df, alpha) * item_se, critical_value(n_seeds - 1, alpha) * seed_se))


def critical_value(df: float, alpha: float) -> float:
    """Two-sided critical value of Student's t (`scipy.stats.t.isf(alpha / 2, df)`, which costs a second to import)."""
    return -float(special.stdtrit(df, alpha / 2))


def holm(p_values: NDArray[np.floating]) -> Floats:
    """Holm's adjusted p-values (Holm 1979), by statsmodels; NaN is left out and stays NaN."""
    from statsmodels.stats.multitest import multipletests  # here, for it takes a second to import

    adjusted = np.full(len(p_values), nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = multipletests(p_values[tested], method="holm")[1]
    return adjusted
