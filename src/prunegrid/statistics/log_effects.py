"""The table's paired test on values that are in memory: the one place where logs of items meet it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np
from scipy import special

from prunegrid.core.ragged import Floats, Ints
from prunegrid.statistics.bootstrap import RESAMPLES, cluster_sums, resampled_means
from prunegrid.statistics.inference import Effect, average_effect, estimate_effect, holm
from prunegrid.statistics.power import mde

Interval = tuple[float, float]


@dataclass(frozen=True)
class Inference:
    """What the test says of a difference, in points: of these models (`item_*`), and of the recipe (over runs, too).

    NaN where there are too few clusters, or too few runs. `detectable`: the smallest difference of these models, or of
    the recipe if it has several runs, that as many items and runs find with a power of 80 %.
    """

    delta: float
    item_interval: Interval
    item_p: float
    interval: Interval
    p: float
    detectable: float


def effect(values_RI: Floats, baseline_RI: Floats, cluster_I: Ints, is_share: bool = True, seed: int = 0) -> Effect:
    """Of the mean over runs and items of the values minus that of the others: run by run, in hundredths.

    Values that are no shares of right answers (0..1) have no noise of one more item won and one more lost.
    """
    diffs_RI = values_RI - baseline_RI
    (sizes_U,) = cluster_sums(np.ones((1, len(cluster_I))), cluster_I)
    (sums_U,) = cluster_sums(diffs_RI.mean(axis=0, keepdims=True), cluster_I)
    (draws_J,) = 100 * resampled_means(sums_U[None], sizes_U[None], RESAMPLES, seed)
    differing = int(np.count_nonzero(sums_U))
    estimate = estimate_effect(100 * diffs_RI.mean(axis=1), draws_J, len(cluster_I), len(sizes_U), differing)
    return estimate if is_share or np.isnan(estimate.item_df) else replace(estimate, added_se=0.0)


def average(effects: Sequence[Effect]) -> Effect:
    """Of the plain mean over tasks."""
    return average_effect(effects)


def infer(effect: Effect, scale: float = 1.0) -> Inference:
    """The test's results, `scale` times as large (values that were not 0..1)."""
    low, high = effect.item_interval()
    both = effect.interval()
    return Inference(
        delta=scale * effect.delta,
        item_interval=(scale * low, scale * high),
        item_p=_item_p(effect),
        interval=(scale * both[0], scale * both[1]),
        p=effect.p_value(),
        detectable=scale * mde(effect.item_se, effect.item_df, effect.seed_se, effect.n_seeds),
    )


def adjust(p_values: Floats) -> Floats:
    """p-values of one family, corrected as the table's are; NaN stays NaN."""
    return holm(p_values)


def _item_p(effect: Effect) -> float:
    if np.isnan(effect.item_df):
        return nan
    return float(2 * special.stdtr(effect.item_df, -abs(effect.delta) / effect.item_se))


def mcnemar_p(won: int, lost: int) -> float:
    """McNemar's exact test: the two-sided binomial test of the items in which the two differ."""
    from scipy.stats import binomtest  # here, for it takes a second to import

    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
