"""Deltas with 95 % intervals, a panel a benchmark, a row a variant: what is told from noise at one budget."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunegrid import results
from prunegrid.figures import style
from prunegrid.figures.source import NothingToShow, Source
from prunegrid.sections import Budget
from prunegrid.table.labels import LABELS

ACROSS, ROW = 6, 0.165
ITEMS_AND_SEEDS, ITEMS = "95 % interval: items and seeds", "95 % interval: item noise only (one seed)"
LOOKS = {True: (style.BLACK, ITEMS_AND_SEEDS), False: ("0.45", ITEMS)}


def draw(source: Source, budget: Budget) -> Figure:
    """Bars from the baseline to the delta (points), intervals over them, statuses where there is none."""
    if source.deltas is None or source.deltas.empty:
        raise NothingToShow("no deltas.parquet, or nothing in it")
    deltas = source.at(source.deltas, budget)
    if deltas["delta"].notna().sum() == 0:
        raise NothingToShow("no variant of this budget can be compared with a baseline")
    bases = results.baselines(source.experiment)
    variants = [v.name for v in source.experiment.variants if bases.get(v.name) != v.name]
    benchmarks = [*source.experiment.evaluation.benchmarks, results.AVERAGE]
    down = -(-len(benchmarks) // ACROSS)
    figure = Figure(figsize=(style.PAGE, down * (ROW * len(variants) + 0.45) + 0.55), layout="constrained")
    axes = figure.subplots(down, min(ACROSS, len(benchmarks)), squeeze=False, sharex=True, sharey=True)
    for axis, benchmark in zip(axes.ravel(), benchmarks, strict=False):
        _panel(axis, source, deltas[deltas["benchmark"] == benchmark], benchmark, variants, budget)
    for axis in axes.ravel()[len(benchmarks) :]:
        axis.set_visible(False)
    figure.supxlabel(f"Difference from {_bases(source, bases)} (points)", fontsize=style.NORMAL)
    handles = _handles(deltas)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, handletextpad=0.6)
    return figure


def _bases(source: Source, bases: dict[str, str]) -> str:
    """The one baseline's label, or what the baselines are where each mode and removal has its own."""
    found = [source.label(name) for name in dict.fromkeys(bases.values())]
    return found[0] if len(found) == 1 else f"{LABELS['random']} + {LABELS['random']} of the same mode and removal"


def _panel(
    axis: Any, source: Source, deltas: pd.DataFrame, benchmark: str, variants: list[str], budget: Budget
) -> None:
    rows = {row.variant: row for row in deltas.itertuples()}
    for y, variant in enumerate(variants):
        row: Any = rows.get(variant)
        if row is None or pd.isna(row.delta):
            axis.text(0, y, f" {_status(source, benchmark, variant, budget)}", va="center", color="0.35", fontsize=6)
        else:
            _bar(axis, row, y)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_yticks(range(len(variants)), [source.label(name) for name in variants])
    axis.set_ylim(len(variants) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.locator_params(axis="x", nbins=4)
    axis.set_title(benchmark, fontsize=style.NORMAL)


def _bar(axis: Any, row: Any, y: int) -> None:
    whole = pd.notna(row.low)
    low, high = (row.low, row.high) if whole else (row.item_low, row.item_high)
    axis.barh(y, row.delta, height=0.62, color=style.SKY if row.delta >= 0 else "#F0C08A", zorder=2)
    if pd.notna(low):
        axis.plot([low, high], [y, y], color=LOOKS[whole][0], linewidth=1.1, solid_capstyle="butt", zorder=3)
    found = pd.notna(row.significant) and bool(row.significant)
    fill = "black" if found else "white"
    axis.plot(row.delta, y, "o", color="black", markerfacecolor=fill, markeredgewidth=0.7, markersize=2.8, zorder=4)


def _status(source: Source, benchmark: str, variant: str, budget: Budget) -> str:
    """Why there is no delta: the cell's worst status; a cell that is done has nothing to be compared with."""
    rows = source.at(source.frame, budget)
    own = rows.loc[(rows["variant"] == variant) & (rows["benchmark"] == benchmark), "status"]
    worst = max(own, key=results.SEVERITY.index, default="missing")
    return "not compared" if worst == "done" else worst


def _handles(deltas: pd.DataFrame) -> list[Line2D]:
    """The legend: only what the figure has."""
    shown = deltas[deltas["delta"].notna()]
    kinds = [whole for whole in LOOKS if (shown["low"].notna() == whole).any()]
    handles = [Line2D([], [], color=LOOKS[whole][0], label=LOOKS[whole][1]) for whole in kinds]
    if shown["significant"].eq(True).any():
        dot: dict[str, Any] = {"marker": "o", "color": "black", "linestyle": "none", "markersize": 2.8}
        handles.append(Line2D([], [], **dot, label="filled: differs, after Holm's correction"))
    return handles
