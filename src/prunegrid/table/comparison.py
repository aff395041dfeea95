"""What the table's rows are compared with: the baseline, a reference cell, another variant, or the best pair."""

import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.sections import BEST, Budget
from prunegrid.results import collect
from prunegrid.statistics.deltas import Contrast


def contrasts(experiment: Experiment, frame: pd.DataFrame, against: str | None = None) -> list[Contrast]:
    """Every pruned row with what it is compared with.

    None: Random + Random of the row's own mode and removal (`results.baselines`). A variant's name: that variant of the
    same model and budget. A reference cell's (`full`, `zero-shot`): that cell of the same model. `best`: of each model
    and budget the pair with the highest Avg that is not matched to another variant; chosen on the very items that it is
    compared on, which favours it. Raises `PrunegridError` for a name that the experiment does not have.
    """
    if against not in (None, BEST, *_names(experiment), *experiment.references):
        known = ", ".join([BEST, *experiment.references, *_names(experiment)])
        raise PrunegridError(f"{experiment.experiment}: there is no {against!r} to compare with; give one of {known}")
    rows = [(m, b, name) for m in experiment.models for b in experiment.grid_budgets for name in _names(experiment)]
    pairs = [Contrast(m, b, name, *_other(experiment, frame, m, b, name, against)) for m, b, name in rows]
    return [pair for pair in pairs if pair.baseline and pair.baseline != pair.variant]


def _other(
    experiment: Experiment, frame: pd.DataFrame, model: str, budget: Budget, variant: str, against: str | None
) -> tuple[Budget | None, str]:
    """(budget, variant) of the other side; an empty name where there is none."""
    if against in experiment.references:
        return None, str(against)
    if against == BEST:
        return budget, best_pair(experiment, frame, model, budget)
    return budget, against or collect.baselines(experiment).get(variant, "")


def best_pair(experiment: Experiment, frame: pd.DataFrame, model: str, budget: Budget) -> str:
    """The pair (sample + token pruner, matched to no other) with the highest mean Avg; empty where none is done."""
    pairs = [v.name for v in experiment.variants if len(v.method.split("+")) == 2 and not v.match]
    at = (frame["model"] == model) & (frame["benchmark"] == collect.AVERAGE) & frame["variant"].isin(pairs)
    at &= (frame["sample_ratio"] == budget.sample_ratio) & (frame["token_ratio"] == budget.token_ratio)
    means = frame[at].groupby("variant", sort=False)["score"].agg(lambda scores: scores.mean(skipna=False)).dropna()
    return str(means.idxmax()) if len(means) else ""


def _names(experiment: Experiment) -> list[str]:
    return [variant.name for variant in experiment.variants]
