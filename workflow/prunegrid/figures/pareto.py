"""What a score costs: Avg against trained tokens and against the whole cost, with the Pareto front of each."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from prunegrid.figures import placing, style
from prunegrid.figures.source import NothingToShow, Source, heading
from prunegrid.sections import Budget

MARKERS = "osD^vPX<>h"
RINGS: dict[str, dict[str, Any]] = {
    "random+random": {"facecolor": "white", "edgecolor": "black", "linewidth": 0.9},
    "qtuning": {"facecolor": style.YELLOW, "edgecolor": "black", "linewidth": 0.9},
}
WIDE, DECADES = 4.0, 50.0


def draw(source: Source) -> Figure:
    """One point a variant and budget, means over seeds."""
    points = _points(source)
    if points.empty:
        raise NothingToShow("no trained cell has all of its benchmarks")
    axes_of = {"tokens": "Trained tokens, all epochs", "cost": _unit(points)}
    budgets = source.experiment.grid_budgets
    figure = Figure(figsize=(style.PAGE, 3.4 + 0.15 * -(-(len(budgets) + 5) // 4)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (column, text) in zip(axes, axes_of.items(), strict=True):
        _scatter(axis, points[points[column].notna()], column, budgets)
        _front_line(axis, points[points[column].notna()], column, zero_shot(source))
        axis.set_xlabel(text)
    axes[0].set_ylabel("Avg (%)")
    axes[0].margins(y=0.12)
    handles, _ = axes[0].get_legend_handles_labels()
    handles += [_ring(source, name) for name in RINGS if (points["variant"] == name).any()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.5, columnspacing=1.2)
    style.freeze(figure)
    for axis, column in zip(axes, axes_of, strict=True):
        _labels(axis, points[points[column].notna()], column, source)
    return figure


def _points(source: Source) -> pd.DataFrame:
    """A row per trained (budget, variant): mean score (percent), trained tokens, cost, and the cost's unit."""
    rows = source.averages
    rows = rows[rows["score"].notna() & (rows["variant"] != "zero-shot")]
    seconds = rows["train_seconds"] + rows["scoring_seconds"].fillna(0)
    hours = bool(len(rows)) and bool(rows["gpu_hours"].notna().all())
    rows = rows.assign(tokens=rows["trained_tokens"].astype("float64"), cost=rows["gpu_hours"] if hours else seconds)
    at = ["sample_ratio", "token_ratio", "variant"]
    points = rows.groupby(at, sort=False, dropna=False)[["score", "tokens", "cost"]].mean().reset_index()
    return points.assign(hours=hours)


def _ring(source: Source, name: str) -> Line2D:
    """The legend's mark of a variant that is ringed at every budget."""
    face = RINGS[name]["facecolor"]
    look: dict[str, Any] = {"marker": "o", "markerfacecolor": face, "markeredgecolor": "black", "markersize": 4.5}
    return Line2D([], [], linestyle="none", label=source.label(name), **look)


def _unit(points: pd.DataFrame) -> str:
    return f"Scoring and training ({'GPU-hours' if points['hours'].all() else 'seconds'})"


def front(cost: Any, score: Any, floor: float) -> list[int]:
    """Rows of the points above `floor` that are better than all that cost no more, cheapest first."""
    chosen: list[int] = []
    best = floor
    for row in np.lexsort((-np.asarray(score), np.asarray(cost))):
        if score[row] > best:
            best = score[row]
            chosen.append(int(row))
    return chosen


def _scatter(axis: Any, points: pd.DataFrame, column: str, budgets: list[Budget]) -> None:
    """A colour and a marker a budget; references are stars."""
    for number, budget in enumerate(budgets):
        same = (points["sample_ratio"] == budget.sample_ratio) & (points["token_ratio"] == budget.token_ratio)
        colour, marker = style.SERIES[number % len(style.SERIES)], MARKERS[number % len(MARKERS)]
        plain = points[same & ~points["variant"].isin(RINGS)]
        look = {"color": colour, "linewidths": 0, "label": heading(budget)}
        axis.scatter(plain[column], plain["score"], s=14, marker=marker, zorder=3, **look)
        for name, ring in RINGS.items():
            own = points[same & (points["variant"] == name)]
            axis.scatter(own[column], own["score"], s=22, marker=marker, zorder=4, **ring)
    bare = points[points["sample_ratio"].isna()]
    axis.scatter(bare[column], bare["score"], s=42, marker="*", color="black", linewidths=0, label="all data", zorder=3)
    if points[column].max() > WIDE * points[column].min() > 0:
        axis.set_xscale("log")
        subs = (1,) if points[column].max() > DECADES * points[column].min() else (1, 2, 5)
        axis.xaxis.set_major_locator(LogLocator(subs=subs))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(FuncFormatter(short if column == "tokens" else lambda value, _: f"{value:,.6g}"))


def short(value: float, _: Any = None) -> str:
    """A tick's number: 5 k, 60 M."""
    size, unit = next((pair for pair in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if value >= pair[0]), (1.0, ""))
    return f"{value / size:.6g}{unit}"


def _front_line(axis: Any, points: pd.DataFrame, column: str, floor: float) -> None:
    """What is the best for no more than a cost: a step at each point of the front, above what no training gives."""
    cost, score = points[column].to_numpy(), points["score"].to_numpy()
    rows = front(cost, score, floor)
    if np.isfinite(floor):
        axis.axhline(
            floor, color="0.3", linestyle=(0, (4, 2)), linewidth=0.8, zorder=1, label=f"Zero-Shot, {floor:.2f} %"
        )
    axis.step(cost[rows], score[rows], where="post", color="0.45", linewidth=0.9, zorder=2, label="Pareto front")


def zero_shot(source: Source) -> float:
    """Avg of the untrained model (percent), which costs nothing; minus infinity where it is not there."""
    rows = source.averages
    score = rows.loc[rows["variant"] == "zero-shot", "score"].dropna()
    return float(score.iloc[0]) if len(score) else -np.inf


def _labels(axis: Any, points: pd.DataFrame, column: str, source: Source) -> None:
    """Names of the points on the front, and of those without a budget."""
    cost, score, variant = (points[name].to_numpy() for name in (column, "score", "variant"))
    named = set(front(cost, score, zero_shot(source))) | set(np.flatnonzero(points["sample_ratio"].isna()).tolist())
    labels = [(cost[row], score[row], source.label(variant[row])) for row in sorted(named)]
    if labels:
        placing.place(axis, labels, fontsize=style.SMALL)
