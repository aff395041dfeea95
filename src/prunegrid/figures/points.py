"""The points of `figures.pareto`: each trained row's Avg with its tokens, work and cost, the means of the table."""

from typing import Any

import pandas as pd

from prunegrid.experiment.names import AVERAGE, ZERO_SHOT
from prunegrid.figures import noise
from prunegrid.figures.model_results import ModelResults
from prunegrid.results import collect
from prunegrid.results.work import token_passes
from prunegrid.status import Files
from prunegrid.table import cost_columns
from prunegrid.table.document import ROW, budget_of

EQUAL, STEADY = 1.02, 1.15  # work that counts as equal; how far the seconds of equal work may differ


def points(results: ModelResults) -> pd.DataFrame:
    """A row per trained (budget, variant): score (percent) over `done` of `seeds`, worst status, and what it took.

    `low` and `high` are the 95 % interval of the difference from the baseline, laid around the score; NaN if there is
    none. `tokens`, `steps`, `work` (tokens read forward, `results.work`) and `cost` (in its unit) are means over all
    trained seeds, as in the table; NaN if unknown.
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
    for name in ("tokens", "steps", "cost"):
        means[name] = pd.Series([getattr(value, name) for value in values], dtype="float64")
    work = cells(results).groupby(ROW, dropna=False)["work"].mean().rename("work").reset_index()
    return means.merge(work, on=ROW, how="left").join(_intervals(results, means))


def cells(results: ModelResults) -> pd.DataFrame:
    """A row per trained cell: `work` (tokens read forward) and `seconds` of its training; NaN if unknown."""
    work = token_passes(results.experiment, Files(results.root))
    counted = pd.DataFrame(
        [
            {
                "sample_ratio": cell.budget and cell.budget.sample_ratio,
                "token_ratio": cell.budget and cell.budget.token_ratio,
                "variant": cell.variant,
                "seed": cell.seed,
                "work": tokens,
            }
            for cell, tokens in work.items()
            if cell.model == results.model
        ],
        columns=[*ROW, "seed", "work"],
    ).astype({"sample_ratio": float, "token_ratio": float, "work": float, "seed": "Int64"})
    seconds = results.averages.rename(columns={"train_seconds": "seconds"})[[*ROW, "seed", "seconds"]]
    return counted.merge(seconds, on=[*ROW, "seed"], how="left")


def spread(results: ModelResults) -> float | None:
    """How many times as long the slowest of trainings of equal work took; None if no two are equal.

    The machine's own noise: where other jobs took part of it, equal work takes unequal time.
    """
    known = cells(results).dropna(subset=["work", "seconds"]).sort_values("work", ignore_index=True)
    if known.empty:
        return None
    groups = known["work"].map(_floors(known["work"]))
    seconds = known.groupby(groups)["seconds"].agg(["min", "max", "size"])
    seconds = seconds[seconds["size"] > 1]
    return float((seconds["max"] / seconds["min"]).max()) if len(seconds) else None


def _floors(ascending: "pd.Series[float]") -> dict[float, float]:
    """By work: the least that counts as equal to it, so that no chain joins unequal ones."""
    floors: dict[float, float] = {}
    floor = float(ascending.iloc[0])
    for work in ascending:
        floor = floor if work <= EQUAL * floor else work
        floors[work] = floor
    return floors


def _intervals(results: ModelResults, means: pd.DataFrame) -> pd.DataFrame:
    """`low` and `high` of each row of `means` [percent]."""
    by_row: dict[Any, Any] = {}
    if results.deltas is not None:
        lines: Any = results.deltas[(results.deltas["benchmark"] == AVERAGE) & results.deltas["delta"].notna()]
        by_row = {(budget_of(line), line.variant): line for line in lines.itertuples()}
    ends = []
    for mean in means.itertuples():
        line = by_row.get((budget_of(mean), mean.variant))
        low, high = (line is not None and noise.ends(line)) or (float("nan"), float("nan"))
        shift: Any = 0.0 if line is None else mean.score - line.delta
        ends.append((low + shift, high + shift))
    return pd.DataFrame(ends, columns=["low", "high"], index=means.index, dtype=float)


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


def time_remark(factor: float | None) -> str:
    """Why the measured cost is no panel; empty if it is one."""
    if factor is None:
        return "Measured cost is left out: no two trainings of equal work show how steady this machine was."
    if factor > STEADY:
        return f"Measured cost is left out: equal work took up to {factor:.1f} times as long, as on a shared machine."
    return ""
