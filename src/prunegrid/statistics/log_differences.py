"""What `prunegrid stats` and `pg.compare` report: each entry against the baseline, task by task and on average."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.experiment.names import AVERAGE
from prunegrid.statistics import log_effects
from prunegrid.statistics.draws import draw_se
from prunegrid.statistics.inference import Effect
from prunegrid.statistics.log_pairs import TaskScores


@dataclass(frozen=True)
class Difference:
    """`name` minus `against` on one task, or on the mean over tasks (`task` is Avg).

    Scores, differences and limits are percent and points; on a scale of its own they are the metric's own units.
    `item_*`: do these models differ, given their runs, on items like these? `low`, `high`, `p`: does the recipe differ,
    over runs and items; NaN for one run (`p`: for fewer than three). `p_adjusted` corrects `p`, or `item_p` of single
    runs, for the number of entries that are compared on the task. `won`, `lost`, `tied`: items, by the mean over runs.
    `item_se` is the standard error behind `item_*`, `draw_se` the part of it that is other answers to the same items:
    NaN unless items have several answers whose values are known. `detectable_answers` and `detectable_runs` are
    `detectable` with twice the answers to each item, and with twice the runs.
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
    item_se: float
    draw_se: float
    detectable: float
    detectable_answers: float
    detectable_runs: float
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
    effects = {task.task: {name: _effect(task, name, baseline) for name in names} for task in tasks}
    scores = {task.task: {name: _run_scores(values) for name, values in task.values.items()} for task in tasks}
    averaged = len(tasks) > 1 and not any(task.has_own_scale for task in tasks)
    if averaged:
        effects[AVERAGE] = {name: log_effects.average([effects[task.task][name] for task in tasks]) for name in names}
        scores[AVERAGE] = {
            name: _average_scores([scores[task.task][name] for task in tasks]) for name in tasks[0].values
        }
    inferences = log_effects.infer(effects, baseline, scores)
    rows = [
        [
            _difference(task, name, baseline, effects[task.task][name], inference)
            for name, inference in zip(names, inferences[task.task], strict=True)
        ]
        for task in tasks
    ]
    if averaged:
        parts = [[row[i] for row in rows] for i in range(len(names))]
        rows.append(
            [
                _average(effects[AVERAGE][part[0].name], part, inference)
                for part, inference in zip(parts, inferences[AVERAGE], strict=True)
            ]
        )
    return [difference for family in rows for difference in family]


def _run_scores(values_RI: Floats) -> dict[int | None, float]:
    """In hundredths; a single run is no sample of runs."""
    means_R = (100 * values_RI.mean(axis=1)).tolist()
    return dict(enumerate(means_R)) if len(means_R) > 1 else {None: means_R[0]}


def _average_scores(parts: Sequence[dict[int | None, float]]) -> dict[int | None, float]:
    """Of the runs that every task has."""
    runs = [run for run in parts[0] if all(run in part for part in parts)]
    return {run: float(np.mean([part[run] for part in parts])) for run in runs}


def _effect(task: TaskScores, name: str, baseline: str) -> Effect:
    noise = draw_se(task.deviations[name], task.deviations[baseline])
    values = task.values[name], task.values[baseline]
    return log_effects.effect(*values, task.cluster_I, is_share=not task.has_own_scale, draw_se=noise)


def _difference(
    task: TaskScores, name: str, baseline: str, effect: Effect, inference: log_effects.Inference
) -> Difference:
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
        **_inferred(name, baseline, effect, inference, unit / 100),
    )


def _average(effect: Effect, parts: Sequence[Difference], inference: log_effects.Inference) -> Difference:
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
        **_inferred(parts[0].name, parts[0].against, effect, inference, 1.0),
    )


def _inferred(
    name: str, baseline: str, effect: Effect, inference: log_effects.Inference, scale: float
) -> dict[str, Any]:
    """Columns of the inference; `scale` is 0.01 for values that are not 0..1."""
    return {
        "name": name,
        "against": baseline,
        "n_runs": effect.n_seeds,
        "n_items": effect.n_items,
        "n_clusters": effect.n_clusters,
        "delta": scale * inference.delta,
        "item_low": scale * inference.item_interval[0],
        "item_high": scale * inference.item_interval[1],
        "item_p": inference.item_p,
        "low": scale * inference.interval[0],
        "high": scale * inference.interval[1],
        "p": inference.p,
        "p_adjusted": inference.p_adjusted,
        "item_se": scale * effect.item_se,
        "draw_se": scale * effect.draw_se,
        "detectable": scale * inference.detectable,
        "detectable_answers": scale * inference.with_answers,
        "detectable_runs": scale * inference.with_runs,
    }
