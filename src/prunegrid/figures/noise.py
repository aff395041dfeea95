"""Which differences a figure may dress as a finding: what lies within noise, and the smallest that would be found."""

from typing import Any, Literal

import pandas as pd

from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.figures.model_results import ModelResults
from prunegrid.statistics import power

Verdict = Literal["better", "worse", "noise"]
Interval = Literal["both", "items", "none"]
Test = Literal["differs", "not significant", "not tested"]


def interval(row: Any) -> Interval:
    """The kind of a delta's interval: the items' alone is shown only for one seed."""
    if pd.notna(row.low):
        return "both"
    return "items" if row.n_seeds == 1 and pd.notna(row.item_low) else "none"


def ends(row: Any) -> tuple[float, float] | None:
    """The ends of the interval that is shown (points); None if there is none."""
    kind = interval(row)
    if kind == "none":
        return None
    return (row.low, row.high) if kind == "both" else (row.item_low, row.item_high)


def tested(row: Any) -> Test:
    """The result of a delta's test; a test takes three paired seeds."""
    if pd.isna(row.significant):
        return "not tested"
    return "differs" if row.significant else "not significant"


def verdict(row: Any, points: float) -> Verdict:
    """`noise` unless a difference of `points` was tested and differs, or was not tested and its interval has no 0."""
    test, shown = tested(row), ends(row)
    is_finding = test == "differs" or (test == "not tested" and shown is not None and not shown[0] <= 0 <= shown[1])
    if not is_finding:
        return "noise"
    return "better" if points > 0 else "worse"


def detectable(results: ModelResults, budget: Budget, benchmark: str = AVERAGE) -> dict[int, float]:
    """By number of compared seeds: the smallest true difference of `benchmark` (points) found four times in five.

    It is what the table says below its rows (`statistics.power`). A number of seeds of unknown noise is left out.
    """
    if results.deltas is None or results.deltas.empty:
        return {}
    rows = results.budget_rows(results.deltas, budget)
    rows = rows[(rows["benchmark"] == benchmark) & rows["delta"].notna()]
    rows = rows.reindex(columns=[*dict.fromkeys([*rows.columns, *power.NOISE, "level", "n_family"])])
    lines: Any = power.detectable(rows).itertuples()
    return {int(line.n_seeds): float(line.mde) for line in lines if pd.notna(line.mde)}
