"""The rows of `figures.bars`: each variant's delta at one budget, with its interval and what may be said of it."""

from typing import Any

import numpy as np
import pandas as pd

from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.figures import noise
from prunegrid.figures.model_results import ModelResults, NothingToShow
from prunegrid.results import collect

TYPICAL = 3.0  # an interval wider than so many times the median one is cut


def differences(results: ModelResults, budget: Budget) -> pd.DataFrame:
    """A row per variant and benchmark, in the table's order.

    Columns: `variant`, `label` (with `(1/3)` if seeds are missing), `is_qtuning`, `benchmark`, `delta`, `low` and
    `high` (the interval that is shown, points), `interval`, `tested` and `verdict` (`figures.noise`), `n_seeds`, and
    `state`: why there is no delta, or empty. Raises `NothingToShow` if nothing can be compared.
    """
    if results.deltas is None or results.deltas.empty:
        raise NothingToShow("no deltas.parquet, or nothing in it")
    deltas = results.budget_rows(results.deltas, budget)
    if deltas["delta"].notna().sum() == 0:
        raise NothingToShow("no variant of this budget can be compared with a baseline")
    lines: Any = deltas[deltas["delta"].notna()].itertuples()
    by_place = {(line.variant, line.benchmark): line for line in lines}
    benchmarks = [*results.experiment.evaluation.benchmarks, AVERAGE]
    rows = [
        _row(results, budget, deltas, variant, benchmark, by_place.get((variant, benchmark)))
        for variant in results.order(budget)
        if results.baselines.get(variant) != variant
        for benchmark in benchmarks
    ]
    return pd.DataFrame(rows)


def _row(
    results: ModelResults, budget: Budget, deltas: pd.DataFrame, variant: str, benchmark: str, line: Any
) -> dict[str, Any]:
    row = {
        "variant": variant,
        "label": label(results, deltas, variant),
        "is_qtuning": results.is_qtuning(variant),
        "benchmark": benchmark,
    }
    if line is None:
        return row | {"delta": None, "state": _state(results, benchmark, variant, budget)}
    low, high = noise.ends(line) or (None, None)
    return row | {
        "delta": line.delta,
        "low": low,
        "high": high,
        "interval": noise.interval(line),
        "tested": noise.tested(line),
        "verdict": noise.verdict(line, line.delta),
        "n_seeds": line.n_seeds,
        "state": "",
    }


def label(results: ModelResults, deltas: pd.DataFrame, variant: str) -> str:
    """The row's name; with `(1/3)` if its deltas are over fewer seeds than exist, `(1-2/3)` if they differ in that."""
    counts = deltas.loc[(deltas["variant"] == variant) & deltas["delta"].notna(), "n_seeds"]
    low, high = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    n_seeds = len(results.experiment.seeds)
    if low in (0, n_seeds):
        return results.label(variant)
    return f"{results.label(variant)} ({low if low == high else f'{low}-{high}'}/{n_seeds})"


def _state(results: ModelResults, benchmark: str, variant: str, budget: Budget) -> str:
    """Why there is no delta: the cell's worst status, or `not compared` if the cell is done but not its baseline."""
    rows = results.budget_rows(results.frame, budget)
    statuses = rows.loc[(rows["variant"] == variant) & (rows["benchmark"] == benchmark), "status"]
    worst = max(statuses, key=collect.SEVERITY.index, default="missing")
    return "not compared" if worst == "done" else worst


def limits(rows: pd.DataFrame) -> tuple[float, float]:
    """The axis: 0, every delta, and the intervals, of which one far wider than the usual is cut (points)."""
    ends = span(rows)
    low, high = min(0.0, ends[0]), max(0.0, ends[1])
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def span(rows: pd.DataFrame) -> tuple[float, float]:
    """From the least to the greatest of `delta` and of `low` to `high`, of which an unusually wide one is cut."""
    rows = rows.loc[rows["delta"].notna(), ["delta", "low", "high"]].astype(float)
    half = (rows["high"] - rows["low"]) / 2
    cap = TYPICAL * half[half > 0].median() if (half > 0).any() else 0.0
    low = rows["low"].clip(lower=rows["delta"] - cap).fillna(rows["delta"])
    high = rows["high"].clip(upper=rows["delta"] + cap).fillna(rows["delta"])
    return float(np.minimum(low, rows["delta"]).min()), float(np.maximum(high, rows["delta"]).max())
