"""What the table's rows are compared with: the baseline, a reference cell, another variant, or the best pair."""

from itertools import product

import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import AVERAGE, BEST
from prunegrid.experiment.variant import Budget
from prunegrid.results import collect
from prunegrid.statistics.deltas import Contrast


def contrasts(experiment: Experiment, frame: pd.DataFrame, baseline: str | None = None) -> list[Contrast]:
    """Each pruned row with the row that it is compared with.

    None: Random + Random of the row's own mode and removal (`results.baselines`). A variant's name: that variant of the
    same model and budget. A reference cell's (`full`, `zero-shot`): that cell of the same model. `best`: per model and
    budget, the pair with the highest Avg that is not matched to another variant; it is chosen on the same items that it
    is compared on, which favours it. Raises `PrunegridError` for a name that the experiment does not have.
    """
    variants = [variant.name for variant in experiment.variants]
    names = [BEST, *experiment.references, *variants]
    if baseline not in (None, *names):
        problem = f"has no row {baseline!r} to compare with"
        raise PrunegridError(experiment.experiment, problem, f"give one of {', '.join(names)}")
    rows = list(product(experiment.models, experiment.grid_budgets, variants))
    pairs = [Contrast(*row, *_baseline_row(experiment, frame, *row, baseline)) for row in rows]
    return [pair for pair in pairs if pair.baseline and pair.baseline != pair.variant]


def _baseline_row(
    experiment: Experiment, frame: pd.DataFrame, model: str, budget: Budget, variant: str, baseline: str | None
) -> tuple[Budget | None, str]:
    """(budget, variant) of the other side; an empty name if there is none."""
    if baseline in experiment.references:
        return None, str(baseline)
    if baseline == BEST:
        return budget, best_pair(experiment, frame, model, budget)
    return budget, baseline or collect.baselines(experiment).get(variant, "")


def best_pair(experiment: Experiment, frame: pd.DataFrame, model: str, budget: Budget) -> str:
    """The pair (sample + token pruner, matched to no other) with the highest mean Avg; empty if none is done."""
    pairs = [v.name for v in experiment.variants if len(v.method.split("+")) == 2 and not v.match]
    rows = (frame["model"] == model) & (frame["benchmark"] == AVERAGE) & frame["variant"].isin(pairs)
    rows &= (frame["sample_ratio"] == budget.sample_ratio) & (frame["token_ratio"] == budget.token_ratio)
    means = frame[rows].groupby("variant", sort=False)["score"].agg(lambda scores: scores.mean(skipna=False)).dropna()
    return str(means.idxmax()) if len(means) else ""
