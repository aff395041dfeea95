"""What a score costs: Avg against trained tokens and against the whole cost, with the Pareto front of each."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from prunegrid.figures import placing, style
from prunegrid.figures.source import NothingToShow, Source, heading
from prunegrid.sections import Budget

MARKERS = "osD^vPX<>h"
NAMED = ("random+random", "qtuning", "full")
WIDE = 20.0


def draw(source: Source) -> Figure:
    """One point a variant and budget, means over seeds."""
    points = _points(source)
    if points.empty:
        raise NothingToShow("no trained cell has all of its benchmarks")
    axes_of = {"tokens": "Trained tokens, all epochs", "cost": _unit(points)}
    budgets = source.experiment.grid_budgets
    figure = Figure(figsize=(style.PAGE, 3.1 + 0.15 * -(-len(budgets) // 3)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (column, text) in zip(axes, axes_of.items(), strict=True):
        _scatter(axis, points[points[column].notna()], column, budgets)
        _zero_shot(axis, source)
        axis.set_xlabel(text)
    axes[0].set_ylabel("Avg (%)")
    axes[0].margins(y=0.12)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handletextpad=0.2, columnspacing=1.0)
    style.freeze(figure)
    for axis, column in zip(axes, axes_of, strict=True):
        own = points[points[column].notna()]
        _labels(axis, own, column, source)
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


def _unit(points: pd.DataFrame) -> str:
    return f"Scoring and training ({'GPU-hours' if points['hours'].all() else 'seconds'})"


def front(cost: Any, score: Any) -> list[int]:
    """Rows of the points that no other is at most as costly and better than, or cheaper and as good; cheapest first."""
    chosen: list[int] = []
    best = -np.inf
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
        look = {"color": colour, "marker": marker, "label": heading(budget)}
        axis.scatter(points.loc[same, column], points.loc[same, "score"], s=13, linewidths=0, zorder=3, **look)
    bare = points[points["sample_ratio"].isna()]
    axis.scatter(bare[column], bare["score"], s=42, marker="*", color="black", linewidths=0, label="all data", zorder=3)
    _front_line(axis, points, column)
    if points[column].max() > WIDE * points[column].min() > 0:
        axis.set_xscale("log")
    elif len(points):
        axis.set_xlim(0, 1.06 * points[column].max())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _front_line(axis: Any, points: pd.DataFrame, column: str) -> None:
    """What is the best for no more than a cost: a step at each point of the front."""
    cost, score = points[column].to_numpy(), points["score"].to_numpy()
    rows = front(cost, score)
    axis.step(cost[rows], score[rows], where="post", color="0.45", linewidth=0.9, zorder=2, label="Pareto front")


def _zero_shot(axis: Any, source: Source) -> None:
    rows = source.averages
    score = rows.loc[rows["variant"] == "zero-shot", "score"].dropna()
    if len(score):
        axis.axhline(score.iloc[0], color="0.3", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1, label="Zero-Shot")


def _labels(axis: Any, points: pd.DataFrame, column: str, source: Source) -> None:
    """Names of the points on the front, of Random + Random, Q-Tuning and of all data."""
    cost, score, variant = (points[name].to_numpy() for name in (column, "score", "variant"))
    named = set(front(cost, score)) | {row for row, name in enumerate(variant) if name in NAMED}
    labels = [(cost[row], score[row], source.label(variant[row])) for row in sorted(named)]
    if labels:
        placing.place(axis, labels, fontsize=style.SMALL)
