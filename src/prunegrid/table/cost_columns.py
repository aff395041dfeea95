"""The columns after the scores: what a row kept, trained on and cost per model, as means over its seeds."""

from typing import Any

import pandas as pd

from prunegrid.experiment.names import AVERAGE
from prunegrid.table.document import ROW, Measurements, Unit, budget_of

RATIOS = ["realised_sample_ratio", "realised_token_ratio"]
AMOUNTS = {"tokens": "trained_tokens", "steps": "steps", "passes": "sample_passes", "ends": "end_tokens"}
COLUMNS = [*RATIOS, *AMOUNTS.values(), "cost"]
RowMeasurements = dict[tuple[Any, ...], dict[str, Measurements]]


def cost_unit(frame: pd.DataFrame) -> Unit:
    """GPU-hours if the frame has any, else seconds: one unit for the whole table."""
    return "GPU-hours" if frame["gpu_hours"].notna().any() else "seconds"


def row_measurements(frame: pd.DataFrame, unit: Unit) -> RowMeasurements:
    """By (budget, variant), then by model. A cell's cost is its training and its share of the scoring pass."""
    cost = frame["gpu_hours"] if unit == "GPU-hours" else frame["train_seconds"] + frame["scoring_seconds"]
    complete = frame["score"].notna().where(frame["benchmark"] == AVERAGE, True)
    cells = (
        frame.assign(cost=cost, complete=complete)
        .groupby([*ROW, "model", "seed"], sort=False, dropna=False)
        .agg(dict.fromkeys(COLUMNS, "first") | {"complete": "all"})
        .reset_index()
    )
    rows: RowMeasurements = {}
    for _, part in cells.groupby([*ROW, "model"], sort=False, dropna=False):
        first: Any = next(part.itertuples())
        rows.setdefault((budget_of(first), first.variant), {})[first.model] = _means(part)
    return rows


def _means(cells: pd.DataFrame) -> Measurements:
    """Of the cells of one row and model, one per seed."""
    means = {name: None if pd.isna(mean) else float(mean) for name, mean in cells[COLUMNS].mean().items()}
    samples, tokens = (means[name] for name in RATIOS)
    return Measurements(
        realised=None if samples is None or tokens is None else (samples, tokens),
        **{name: means[column] for name, column in AMOUNTS.items()},
        cost=means["cost"],
        n_seeds=int(cells["complete"].sum()) if cells["seed"].notna().any() else None,
    )
