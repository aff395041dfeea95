"""Deltas with 95 % intervals at one budget, a panel per benchmark, a row per variant, to show which exceed noise."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from prunegrid.experiment.variant import Budget
from prunegrid.figures import style
from prunegrid.figures.differences import differences, limits
from prunegrid.figures.model_results import ModelResults, count
from prunegrid.statistics.bootstrap import MIN_CLUSTERS
from prunegrid.table.labels import label

COLUMNS, LABEL_WIDTH, LINE_HEIGHT, ROW_GAP = 6, 1.75, 0.115, 0.05
LOOKS: dict[str, dict[str, Any]] = {
    "both": {"color": style.BLACK, "label": "95 % interval: items and seeds"},
    "items": {"color": style.DARK, "label": "95 % interval: item noise only (one seed)"},
    "none": {"linestyle": "none", "label": f"no interval: fewer than {MIN_CLUSTERS} clusters of items"},
}
DOT: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 2.8, "markeredgewidth": 0.7}
DOTS: dict[str, dict[str, Any]] = {
    "differs": {"color": "black", "label": "filled: differs, corrected over the rows"},
    "not significant": {"color": "black", "markerfacecolor": "white", "label": "open: not significant"},
    "not tested": {"color": style.DARK, "markerfacecolor": "white", "label": "open, grey: not tested"},
}
NO_FINDING = "no finding: noise may explain it"
FILLS: dict[str, dict[str, Any]] = {
    "better": {"facecolor": style.SKY, "label": "better than the baseline"},
    "worse": {"facecolor": style.TAN, "label": "worse than the baseline"},
    "noise": {
        "facecolor": "0.94",
        "edgecolor": "0.6",
        "hatch": "//////",
        "linewidth": 0,
        "label": NO_FINDING,
    },
}
CUT: dict[str, Any] = {"linestyle": "none", "markersize": 4.5, "markeredgewidth": 0}
CUT_LABEL = "arrow: the interval continues"


def draw(results: ModelResults, budget: Budget) -> Figure:
    """Bars from the baseline to the delta (points) under their intervals; a state if there is no delta."""
    rows = differences(results, budget)
    variants, benchmarks = list(rows["variant"].unique()), list(rows["benchmark"].unique())
    names = [style.wrapped(name, LABEL_WIDTH) for name in rows.drop_duplicates("variant")["label"]]
    lines = 1 + max(name.count("\n") for name in names)
    height = len(variants) * (LINE_HEIGHT * lines + ROW_GAP)
    panel_rows = -(-len(benchmarks) // COLUMNS)
    columns = -(-len(benchmarks) // panel_rows)
    handles = _handles(rows, limits(rows))
    size = (style.PAGE, panel_rows * (height + 0.5) + 0.5 + 0.15 * -(-len(handles) // 3))
    figure = Figure(figsize=size, layout="constrained")
    style.title(figure, results.subject(budget))
    axes = figure.subplots(panel_rows, columns, squeeze=False, sharex=True, sharey=True)
    for line in axes:
        line[0].set_yticks(range(len(variants)), names)
    _mark_qtuning(axes, rows.drop_duplicates("variant"))
    for axis, benchmark in zip(axes.ravel(), benchmarks, strict=False):
        _panel(axis, rows[rows["benchmark"] == benchmark], limits(rows))
        n = results.items().get(benchmark)
        axis.set_title(benchmark + (f"\n{count(n, 'item')}" if n else "\n"), fontsize=style.SMALL)
    for axis in axes.ravel()[len(benchmarks) :]:
        axis.set_visible(False)
    for axis in axes.ravel()[max(0, len(benchmarks) - columns) : len(benchmarks)]:
        axis.tick_params(axis="x", labelbottom=True)
    style.legend(figure, handles, f"Difference from {_baseline_label(results)} (points)")
    return figure


def _baseline_label(results: ModelResults) -> str:
    """The label of the baseline, or of all baselines if each mode and removal has its own."""
    labels = [results.label(name) for name in dict.fromkeys(results.baselines.values())]
    return labels[0] if len(labels) == 1 else f"{label('random')} + {label('random')} of the same mode and removal"


def _mark_qtuning(axes: Any, variants: pd.DataFrame) -> None:
    """A band behind Q-Tuning's rows, as in the table, and a bold name."""
    for y, is_qtuning in enumerate(variants["is_qtuning"]):
        if is_qtuning:
            for axis in axes.ravel():
                axis.axhspan(y - 0.5, y + 0.5, color=style.BAND, linewidth=0, zorder=0)
            for line in axes:
                line[0].get_yticklabels()[y].set_weight("bold")


def _panel(axis: Any, rows: pd.DataFrame, ends: tuple[float, float]) -> None:
    lines: Any = rows.itertuples()
    for y, row in enumerate(lines):
        if row.state:
            axis.text(0, y, f" {row.state}", va="center", color="0.35", fontsize=6)
        else:
            _bar(axis, row, y, ends)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_xlim(*ends)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color="0.88", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))


def _bar(axis: Any, row: Any, y: int, limits: tuple[float, float]) -> None:
    look = {key: value for key, value in FILLS[row.verdict].items() if key != "label"}
    axis.barh(y, row.delta, height=0.62, zorder=2, **look)
    if row.interval != "none":
        draw_interval(axis, (row.low, row.high), y, limits, LOOKS[row.interval]["color"])
    axis.plot(row.delta, y, zorder=4, **DOT, **DOTS[row.tested])


def draw_interval(axis: Any, ends: tuple[float, float], y: float, limits: tuple[float, float], colour: str) -> None:
    """A line from end to end; an arrow at the limit where it goes on."""
    low, high = max(ends[0], limits[0]), min(ends[1], limits[1])
    axis.plot([low, high], [y, y], color=colour, linewidth=1.1, solid_capstyle="butt", zorder=3)
    for end, limit, marker in ((ends[0], limits[0], "<"), (ends[1], limits[1], ">")):
        if (end < limit) if marker == "<" else (end > limit):
            axis.plot(limit, y, marker=marker, color=colour, clip_on=False, zorder=5, **CUT)


def _handles(rows: pd.DataFrame, ends: tuple[float, float]) -> list[Any]:
    """The legend of what the figure has."""
    compared = rows[rows["delta"].notna()]
    handles: list[Any] = [Patch(**look) for kind, look in FILLS.items() if kind in set(compared["verdict"])]
    handles += [Line2D([], [], **look) for kind, look in LOOKS.items() if kind in set(compared["interval"])]
    handles += [Line2D([], [], **DOT, **look) for kind, look in DOTS.items() if kind in set(compared["tested"])]
    if (compared["low"] < ends[0]).any() or (compared["high"] > ends[1]).any():
        handles.append(Line2D([], [], marker=">", color=style.BLACK, label=CUT_LABEL, **CUT))
    return handles
