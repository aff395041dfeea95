"""What `prunegrid stats` and `pg.compare` report: each entry against the baseline, task by task and on average."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np

from prunegrid.core import randomness
from prunegrid.experiment.names import AVERAGE
from prunegrid.statistics import log_effects
from prunegrid.statistics.inference import Effect
from prunegrid.statistics.log_pairs import TaskScores


@dataclass(frozen=True)
class Difference:
    """`name` minus `against` on one task, or on the mean over tasks (`task` is Avg).

    Scores, differences and limits are percent and points; on a scale of its own they are the metric's own units.
    `item_*`: do these models differ, given their runs, on items like these? `low`, `high`, `p`: does the recipe differ,
    over runs and items; NaN for one run (`p`: for fewer than three). `p_adjusted` corrects `p`, or `item_p` of single
    runs, for the number of entries that are compared on the task. `won`, `lost`, `tied`: items, by the mean over runs.
    `mcnemar_p`: exact, for right-or-wrong items of single runs that are independent; else NaN.
    """

    task: str
    metric: str
    metric_is_share: bool
    filter: str | None
    name: str
    against: str
    n_runs: int
    n_items: int
    n_clusters: int
    score: float
    against_score: float
    delta: float
    item_low: float
    item_high: float
    item_p: float
    low: float
    high: float
    p: float
    p_adjusted: float
    detectable: float
    won: int
    lost: int
    tied: int
    mcnemar_p: float

    @property
    def answers_recipe(self) -> bool:
        """Whether there are runs enough to say whether the recipe differs."""
        return self.n_runs > 1


def differences(tasks: Sequence[TaskScores], baseline: str) -> list[Difference]:
    """Every entry but `baseline`, on each task, and on the mean over tasks if there are several on one scale."""
    names = [name for name in tasks[0].values if name != baseline]
    effects = {(task.task, name): _effect(task, name, baseline) for task in tasks for name in names}
    rows = [[_difference(task, name, baseline, effects[task.task, name]) for name in names] for task in tasks]
    if len(tasks) > 1 and not any(task.has_own_scale for task in tasks):
        parts = [[row[i] for row in rows] for i in range(len(names))]
        rows.append([_average([effects[task.task, part[0].name] for task in tasks], part) for part in parts])
    return [difference for family in rows for difference in _adjusted(family)]


def _effect(task: TaskScores, name: str, baseline: str) -> Effect:
    seed = randomness.derive_seed(0, f"bootstrap/{task.task}")
    return log_effects.effect(
        task.values[name], task.values[baseline], task.cluster_I, is_share=not task.has_own_scale, seed=seed
    )


def _difference(task: TaskScores, name: str, baseline: str, effect: Effect) -> Difference:
    unit = 1.0 if task.has_own_scale else 100.0
    scores_RI, baseline_RI = task.values[name], task.values[baseline]
    # runs' means of equal values can differ in their last digit
    diff_I = np.round(scores_RI.mean(axis=0) - baseline_RI.mean(axis=0), 12)
    won, lost = int((diff_I > 0).sum()), int((diff_I < 0).sum())
    binary = not task.is_clustered and effect.n_seeds == 1 and bool(np.isin([scores_RI, baseline_RI], (0, 1)).all())
    return Difference(
        task=task.task,
        metric=task.metric,
        metric_is_share=not task.has_own_scale,
        filter=task.filter,
        score=unit * float(scores_RI.mean()),
        against_score=unit * float(baseline_RI.mean()),
        won=won,
        lost=lost,
        tied=len(diff_I) - won - lost,
        mcnemar_p=log_effects.mcnemar_p(won, lost) if binary else nan,
        **_inferred(name, baseline, effect, unit / 100),
    )


def _average(effects: Sequence[Effect], parts: Sequence[Difference]) -> Difference:
    return Difference(
        task=AVERAGE,
        metric=", ".join(dict.fromkeys(part.metric for part in parts)),
        metric_is_share=True,
        filter=None,
        score=float(np.mean([part.score for part in parts])),
        against_score=float(np.mean([part.against_score for part in parts])),
        won=sum(part.won for part in parts),
        lost=sum(part.lost for part in parts),
        tied=sum(part.tied for part in parts),
        mcnemar_p=nan,
        **_inferred(parts[0].name, parts[0].against, log_effects.average(effects), 1.0),
    )


def _inferred(name: str, baseline: str, effect: Effect, scale: float) -> dict[str, Any]:
    inference = log_effects.infer(effect, scale)
    return {
        "name": name,
        "against": baseline,
        "n_runs": effect.n_seeds,
        "n_items": effect.n_items,
        "n_clusters": effect.n_clusters,
        "delta": inference.delta,
        "item_low": inference.item_interval[0],
        "item_high": inference.item_interval[1],
        "item_p": inference.item_p,
        "low": inference.interval[0],
        "high": inference.interval[1],
        "p": inference.p,
        "p_adjusted": nan,
        "detectable": inference.detectable,
    }


def _adjusted(family: Sequence[Difference]) -> Iterator[Difference]:
    """With the p-values of the question that the runs can answer, corrected for all entries on the task."""
    p_values = np.array([row.p if row.answers_recipe else row.item_p for row in family], dtype=np.float64)
    for row, p_value in zip(family, log_effects.adjust(p_values), strict=True):
        yield replace(row, p_adjusted=float(p_value))
