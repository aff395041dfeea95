"""The table's paired test on values that are in memory: the one place where logs of items meet it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from prunegrid.core.ragged import Floats, Ints
from prunegrid.experiment.names import AVERAGE
from prunegrid.statistics.families import Assessment, Comparison, Scores, assess, item_adjusted
from prunegrid.statistics.inference import ALPHA, Effect, Noise, average_effect, item_effect
from prunegrid.statistics.power import mde, with_repeats, with_seeds

Interval = tuple[float, float]


@dataclass(frozen=True)
class Inference:
    """What the test says of a difference, in points: of these models (`item_*`), and of the recipe (over runs, too).

    NaN where there are too few clusters, or too few runs. `p_adjusted` corrects `p`, or `item_p` of single runs, over
    the family. `detectable`: the smallest difference of these models, or of the recipe if it has several runs, that as
    many items and runs find with a power of 80 %, after correction; `with_answers` and `with_runs`, with twice the
    answers to each item, and twice the runs.
    """

    delta: float
    item_interval: Interval
    item_p: float
    interval: Interval
    p: float
    p_adjusted: float
    detectable: float
    with_answers: float
    with_runs: float


def effect(
    values_RI: Floats, baseline_RI: Floats, cluster_I: Ints, is_share: bool = True, draw_se: float = nan
) -> Effect:
    """Of the mean over runs and items of the values minus that of the others: run by run, in hundredths.

    Values that are no shares of right answers (0..1) have no noise of one more item won and one more lost.
    """
    estimate = item_effect(values_RI - baseline_RI, cluster_I, draw_se)
    return estimate if is_share or np.isnan(estimate.item_df) else replace(estimate, added_se=0.0)


def average(effects: Sequence[Effect]) -> Effect:
    """Of the plain mean over tasks."""
    return average_effect(effects)


def infer(
    effects: Mapping[str, Mapping[str, Effect]], baseline: str, scores: Mapping[str, Scores]
) -> dict[str, list[Inference]]:
    """The results of each task's family: effects of several entries against one, in the order given.

    `scores` are means of each entry's runs, in hundredths.
    """
    columns = {
        task: [Comparison(name, baseline, effect) for name, effect in family.items()]
        for task, family in effects.items()
    }
    return {task: _inferred(rows) for task, rows in assess(columns, scores, averages=[AVERAGE]).items()}


def _inferred(rows: Sequence[Assessment]) -> list[Inference]:
    of_items, level = item_adjusted(rows)
    return [_inference(row, float(p), level) for row, p in zip(rows, of_items, strict=True)]


def _inference(row: Assessment, item_p_adjusted: float, item_level: float) -> Inference:
    effect, items, noise = row.comparison.effect, row.items, row.noise
    runs = effect.n_seeds
    # two runs have an interval and no test: as if it were one at 5 %
    level = item_level if runs == 1 else ALPHA if np.isnan(row.level) else row.level
    tested = items if runs == 1 else noise
    return Inference(
        delta=effect.delta,
        item_interval=items.interval(effect.delta),
        item_p=row.item_p,
        interval=noise.interval(effect.delta),
        p=row.p,
        p_adjusted=row.p_adjusted if runs > 1 else item_p_adjusted,
        detectable=_mde(tested, level),
        with_answers=_mde(with_repeats(tested, effect.draw_se, 2), level) if effect.draw_se > 0 else nan,
        with_runs=_mde(with_seeds(noise, runs, 2 * runs), level) if runs > 1 else nan,
    )


def _mde(noise: Noise, level: float) -> float:
    return mde(noise.se, noise.df, level) if noise.se > 0 else nan


def mcnemar_p(won: int, lost: int) -> float:
    """McNemar's exact test: the two-sided binomial test of the items in which the two differ."""
    from scipy.stats import binomtest  # here, for it takes a second to import

    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
