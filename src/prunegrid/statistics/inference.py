"""What a paired difference of two models' scores may be trusted to say: intervals, p-values, Holm's correction.

`prunegrid.statistics.deltas` calls it for every row. Two kinds of noise are told apart:

- *Items*: other items of the same kind, given the trained models. Bootstrap over clusters, percentile interval.
- *Seeds*: other training runs, given the items. t interval of the per-seed differences.

`Effect.interval` covers both. Its half width is sqrt((t_item item_se)^2 + (t_seed seed_se)^2): each part's limit, added
in squares (Howe 1974, JASA 69:789; "MOVER": Zou and Donner 2008, Statistics in Medicine 27:1693). Why it errs on the
safe side in every mixture: write g(u) = P(|Z| > sqrt u), convex and falling, Z standard normal. If item noise is the
share w of the variance, a true null is rejected with probability E g(w t_item^2 X + (1 - w) t_seed^2 Y), where X and Y
are chi-squared over their degrees of freedom. By convexity that is at most w E g(t_item^2 X) + (1 - w) E g(t_seed^2 Y),
and each of these is the level, by what t is. Item-by-seed interaction is in both parts, so it is counted twice, which
only widens the interval. Exact for normal noise; tests/unit/statistics/test_simulated.py tries right-or-wrong items.

A bootstrap's spread is too small by sqrt((C - 1)/C) for C clusters, and normal quantiles are too short: with 10
clusters a nominal 5 % is 9.6 %, with 30 it is 6.4 %. So draws are spread by sqrt(C/(C - 1)), and limits are those of t
with C - 1 degrees of freedom (the "expanded percentile interval" of Hesterberg 2015, The American Statistician
69:371). An average over benchmarks has Satterthwaite's degrees of freedom. Fewer than 10 clusters: NaN.

Nor does a bootstrap see what did not happen: where few items differ its interval is too short, and [0, 0] where none
does. So the noise that one more item won and one more lost would make is added, in squares: a standard error of
sqrt(2) 100/items points. (Agresti and Min 2005, Statistics in Medicine 24:729, add half of that to paired proportions,
which still covers only 90 % where 2 % of 200 items are won and none is lost.)
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
NEGLIGIBLE = 1e-9
SMALLEST, LARGEST = 1e-100, 1 - 1e-6
Interval = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """A difference in points: per paired seed [S], and its mean over them in each resample of the items [B].

    `added_se`: the standard error of one more item won and one more lost, in points.
    `item_df`: degrees of freedom of the item noise; NaN, as are the draws, where there are too few clusters.
    `n_differing`: clusters in which the two sides' scores are not the same.
    """

    deltas_S: Floats
    draws_B: Floats
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
        return float(np.hypot(self.draws_B.std(), self.added_se))

    def item_interval(self) -> Interval:
        """95 %: how the mean of these very models could differ with other items."""
        if np.isnan(self.item_df):
            return nan, nan
        limit = critical_value(self.item_df, ALPHA)
        tail = special.ndtr(-limit)
        low, high = np.hypot(np.quantile(self.draws_B, [tail, 1 - tail]) - self.delta, limit * self.added_se)
        return self.delta - float(low), self.delta + float(high)

    def seed_interval(self) -> Interval:
        """95 %: how the mean could differ with other training seeds; NaN for one seed."""
        return self._around(critical_value(self.n_seeds - 1, ALPHA) * self.seed_se if self.n_seeds > 1 else nan)

    def interval(self) -> Interval:
        """95 %, items and seeds; NaN for one seed or too few clusters."""
        return self._around(self.half_width(ALPHA))

    def half_width(self, alpha: float) -> float:
        """Half the width of `both` at the level 1 - alpha."""
        if self.n_seeds < 2 or np.isnan(self.item_df):
            return nan
        return half_width(self.item_se, self.item_df, self.seed_se, self.n_seeds, alpha)

    def p_value(self) -> float:
        """The level at which `both` touches zero; 1 where the difference is zero. NaN for fewer than three seeds.

        Two seeds' differences, counts over the same items, are often equal to the last item: their spread of zero is
        no measure of the seeds' (of 17 rows that differ in nothing, some was found in up to 15 % of simulations).
        Never less than 2^(1 - n_differing), the least that a sign test over the clusters could give, nor than 1e-100:
        that is also the answer where nothing varies and the difference is not zero.
        """
        size, least = abs(self.delta), max(2.0 ** (1 - self.n_differing), SMALLEST)
        if self.n_seeds < MIN_SEEDS:
            return nan
        if np.isnan(self.half_width(ALPHA)):
            return nan
        if size < NEGLIGIBLE or self.half_width(LARGEST) >= size:
            return 1.0
        if self.half_width(least) <= size:
            return least
        found = optimize.brentq(lambda x: log(self.half_width(exp(x)) / size), log(least), log(LARGEST), xtol=1e-12)
        return exp(found)

    def _around(self, half: float) -> Interval:
        return self.delta - half, self.delta + half


def estimate_effect(deltas_S: Floats, draws_B: Floats, n_items: int, n_clusters: int, n_differing: int) -> Effect:
    """From per-seed differences and the plain bootstrap's draws of their mean, both in points."""
    if n_clusters < MIN_CLUSTERS:
        return Effect(deltas_S, np.full_like(draws_B, nan), nan, nan, n_items, n_clusters, n_differing)
    mean = deltas_S.mean()
    spread_B = mean + sqrt(n_clusters / (n_clusters - 1)) * (draws_B - mean)
    return Effect(deltas_S, spread_B, sqrt(2) * 100 / n_items, n_clusters - 1, n_items, n_clusters, n_differing)


def average_effect(effects: Sequence[Effect]) -> Effect:
    """The plain mean over benchmarks of the same seeds, each resampled by itself: a stratified bootstrap."""
    variances = np.array([part.item_se**2 for part in effects])
    dfs = np.array([part.item_df for part in effects])
    total = variances.sum()
    return Effect(
        np.mean([part.deltas_S for part in effects], axis=0),
        np.mean([part.draws_B for part in effects], axis=0),
        sqrt(sum(part.added_se**2 for part in effects)) / len(effects),
        float(dfs.min() if total == 0 else total**2 / (variances**2 / dfs).sum()),
        sum(part.n_items for part in effects),
        sum(part.n_clusters for part in effects),
        sum(part.n_differing for part in effects),
    )


def half_width(item_se: float, item_df: float, seed_se: float, n: int, alpha: float) -> float:
    """Half the width of the interval for both noises at the level 1 - alpha, with n seeds."""
    return float(np.hypot(critical_value(item_df, alpha) * item_se, critical_value(n - 1, alpha) * seed_se))


def critical_value(df: float, alpha: float) -> float:
    """Two-sided critical value of Student's t (`scipy.stats.t.isf(alpha / 2, df)`, which costs a second to import)."""
    return -float(special.stdtrit(df, alpha / 2))


def holm(p_values: NDArray[np.floating]) -> Floats:
    """Holm's adjusted p-values (Holm 1979), by statsmodels; NaN is left out and stays NaN."""
    from statsmodels.stats.multitest import multipletests

    adjusted = np.full(len(p_values), nan)
    there = ~np.isnan(p_values)
    if there.any():
        adjusted[there] = multipletests(p_values[there], method="holm")[1]
    return adjusted
