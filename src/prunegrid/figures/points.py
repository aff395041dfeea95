"""The points of `figures.pareto`: each trained row's Avg with its tokens and cost, the means of the table."""

import pandas as pd

from prunegrid.experiment.names import ZERO_SHOT
from prunegrid.figures.model_results import ModelResults
from prunegrid.results import collect
from prunegrid.table import cost_columns
from prunegrid.table.document import ROW, budget_of


def points(results: ModelResults) -> pd.DataFrame:
    """A row per trained (budget, variant): score (percent) over `done` of `seeds`, worst status, tokens and cost.

    Tokens and cost (in its unit) are the table's, over all trained seeds; NaN if unknown.
    """
    rows = results.averages
    trained = rows[rows["variant"] != ZERO_SHOT]
    means = (
        trained.groupby(ROW, sort=False, dropna=False)
        .agg(
            score=("score", "mean"),
            done=("score", "count"),
            seeds=("status", "size"),
            status=("status", lambda column: max(column, key=collect.SEVERITY.index)),
        )
        .reset_index()
    )
    measurements = cost_columns.row_measurements(results.frame, results.unit)
    values = [measurements[budget_of(mean), mean.variant][results.model] for mean in means.itertuples()]
    tokens, cost = ([getattr(value, name) for value in values] for name in ("tokens", "cost"))
    return means.assign(tokens=pd.Series(tokens, dtype="float64"), cost=pd.Series(cost, dtype="float64"))


def partial(points: pd.DataFrame) -> pd.Series:
    """Which means lack seeds."""
    return points["score"].notna() & (points["done"] < points["seeds"])


def without_score(points: pd.DataFrame) -> str:
    """How many rows have no Avg, by status; empty if all have one."""
    statuses = points.loc[points["score"].isna(), "status"]
    counts = [f"{(statuses == status).sum()} {status}" for status in collect.SEVERITY if (statuses == status).any()]
    return f"Left out: {len(statuses)} of {len(points)} rows without Avg ({', '.join(counts)})" if counts else ""


def unknown(points: pd.DataFrame, column: str) -> str:
    """How many rows with Avg have no known `column`; empty if all have one."""
    n = int((points["score"].notna() & points[column].isna()).sum())
    return f"{n} row{'' if n == 1 else 's'} of unknown {column} left out" if n else ""
