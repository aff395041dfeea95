"""Scores over budgets, with the difference that the results can detect: for experiments with several budgets."""

from typing import TYPE_CHECKING, Any

from prunegrid.report.page import View
from prunegrid.statistics.power import detectable

if TYPE_CHECKING:
    from prunegrid.report.build import Source


def view(source: "Source") -> View | None:
    """The view `budgets`, of the rows of the view `table`; None where there is a single budget."""
    experiment, deltas = source.data.experiment, source.data.deltas
    if len(experiment.grid_budgets) < 2:
        return None
    names = {(budget.sample_ratio, budget.token_ratio): budget.name for budget in experiment.grid_budgets}
    lines: Any = detectable(deltas).dropna(subset="mde").itertuples()
    sizes = [
        {"model": line.model, "budget": name, "benchmark": line.benchmark, "points": float(line.mde)}
        for line in lines
        if (name := names.get((line.sample_ratio, line.token_ratio)))
    ]
    return View("budgets", "Budgets", {"detectable": sizes})
