"""Deltas with 95 % intervals at one budget, a panel per benchmark, a row per variant, to show which exceed noise."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.figures import style
from prunegrid.figures.model_results import ModelResults, NothingToShow
from prunegrid.results import collect
from prunegrid.statistics.bootstrap import MIN_CLUSTERS
from prunegrid.table.labels import label

COLUMNS, ROW_HEIGHT = 6, 0.165
GREY = "0.45"
LOOKS: dict[str, dict[str, Any]] = {
    "both": {"color": style.BLACK, "label": "95 % interval: items and seeds"},
    "items": {"color": GREY, "label": "95 % interval: item noise only (one seed)"},
    "none": {"linestyle": "none", "label": f"no interval: fewer than {MIN_CLUSTERS} clusters of items"},
}
DOT: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 2.8, "markeredgewidth": 0.7}
DOTS: dict[str, dict[str, Any]] = {
    "differs": {"color": "black", "label": "filled: differs, corrected over the rows"},
    "not significant": {"color": "black", "markerfacecolor": "white", "label": "open: not significant"},
    "not tested": {"color": GREY, "markerfacecolor": "white", "label": "open, grey: not tested"},
}


def draw(results: ModelResults, budget: Budget) -> Figure:
    """Bars from the baseline to the delta (points) under their intervals; a status if there is no delta."""
    if results.deltas is None or results.deltas.empty:
        raise NothingToShow("no deltas.parquet, or nothing in it")
    deltas = results.budget_rows(results.deltas, budget)
    if deltas["delta"].notna().sum() == 0:
        raise NothingToShow("no variant of this budget can be compared with a baseline")
    baselines = results.baselines
    variants = [v.name for v in results.experiment.variants if baselines.get(v.name) != v.name]
    benchmarks = [*results.experiment.evaluation.benchmarks, AVERAGE]
    rows = -(-len(benchmarks) // COLUMNS)
    figure = Figure(figsize=(style.PAGE, rows * (ROW_HEIGHT * len(variants) + 0.45) + 0.55), layout="constrained")
    axes = figure.subplots(rows, min(COLUMNS, len(benchmarks)), squeeze=False, sharex=True, sharey=True)
    axes[0, 0].set_yticks(range(len(variants)), [_label(results, deltas, name) for name in variants])
    for axis, benchmark in zip(axes.ravel(), benchmarks, strict=False):
        _panel(axis, results, deltas[deltas["benchmark"] == benchmark], benchmark, variants, budget)
    for axis in axes.ravel()[len(benchmarks) :]:
        axis.set_visible(False)
    figure.supxlabel(f"Difference from {_baseline_label(results, baselines)} (points)", fontsize=style.NORMAL)
    figure.legend(handles=_handles(deltas), loc="outside upper center", ncols=3, handletextpad=0.6)
    return figure


def _baseline_label(results: ModelResults, baselines: dict[str, str]) -> str:
    """The label of the baseline, or of all baselines if each mode and removal has its own."""
    labels = [results.label(name) for name in dict.fromkeys(baselines.values())]
    return labels[0] if len(labels) == 1 else f"{label('random')} + {label('random')} of the same mode and removal"


def _label(results: ModelResults, deltas: pd.DataFrame, variant: str) -> str:
    """The row's name; with `(1/3)` if its deltas are over fewer seeds than exist, `(1-2/3)` if they differ in that."""
    counts = deltas.loc[(deltas["variant"] == variant) & deltas["delta"].notna(), "n_seeds"]
    low, high = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    n_seeds = len(results.experiment.seeds)
    if low in (0, n_seeds):
        return results.label(variant)
    return f"{results.label(variant)} ({low if low == high else f'{low}-{high}'}/{n_seeds})"


def _panel(
    axis: Any, results: ModelResults, deltas: pd.DataFrame, benchmark: str, variants: list[str], budget: Budget
) -> None:
    rows = {row.variant: row for row in deltas.itertuples()}
    for y, variant in enumerate(variants):
        row: Any = rows.get(variant)
        if row is None or pd.isna(row.delta):
            axis.text(0, y, f" {_status(results, benchmark, variant, budget)}", va="center", color="0.35", fontsize=6)
        else:
            _bar(axis, row, y)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_ylim(len(variants) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.locator_params(axis="x", nbins=4)
    axis.set_title(benchmark, fontsize=style.NORMAL)


def _bar(axis: Any, row: Any, y: int) -> None:
    axis.barh(y, row.delta, height=0.62, color=style.SKY if row.delta >= 0 else "#F0C08A", zorder=2)
    kind = interval(row)
    if kind != "none":
        ends = [row.low, row.high] if kind == "both" else [row.item_low, row.item_high]
        axis.plot(ends, [y, y], color=LOOKS[kind]["color"], linewidth=1.1, solid_capstyle="butt", zorder=3)
    axis.plot(row.delta, y, zorder=4, **DOT, **DOTS[tested(row)])


def interval(row: Any) -> str:
    """The key in `LOOKS` of a delta's interval: the items' alone is shown only for one seed."""
    if pd.notna(row.low):
        return "both"
    return "items" if row.n_seeds == 1 and pd.notna(row.item_low) else "none"


def tested(row: Any) -> str:
    """The key in `DOTS` of a delta's test result; a test takes three paired seeds."""
    if pd.isna(row.significant):
        return "not tested"
    return "differs" if row.significant else "not significant"


def _status(results: ModelResults, benchmark: str, variant: str, budget: Budget) -> str:
    """Why there is no delta: the cell's worst status, or `not compared` if the cell is done but not its baseline."""
    rows = results.budget_rows(results.frame, budget)
    statuses = rows.loc[(rows["variant"] == variant) & (rows["benchmark"] == benchmark), "status"]
    worst = max(statuses, key=collect.SEVERITY.index, default="missing")
    return "not compared" if worst == "done" else worst


def _handles(deltas: pd.DataFrame) -> list[Line2D]:
    """The legend of what the figure has."""
    lines: Any = list(deltas[deltas["delta"].notna()].itertuples())
    intervals, dots = {interval(line) for line in lines}, {tested(line) for line in lines}
    handles = [Line2D([], [], **look) for kind, look in LOOKS.items() if kind in intervals]
    return handles + [Line2D([], [], **DOT, **look) for kind, look in DOTS.items() if kind in dots]
