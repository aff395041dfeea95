"""What a score costs: Avg against trained tokens and against the whole cost, with the Pareto front of each."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from prunegrid.experiment.sections import Budget
from prunegrid.figures import placing, points, style
from prunegrid.figures.model_results import ModelResults, NothingToShow, heading
from prunegrid.table.labels import LABELS

MARKERS = "osD^vPX<>h"
BASELINE: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.9}
QTUNING: dict[str, Any] = {"facecolor": style.YELLOW, "edgecolor": "black", "linewidth": 0.9}
CIRCLE: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.35", "linewidth": 0.7}
WIDE, DECADES = 4.0, 50.0


def draw(source: ModelResults) -> Figure:
    """One point a variant and budget, means over seeds; what is left out is counted."""
    every = points.points(source)
    found = every[every["score"].notna()]
    if found.empty:
        raise NothingToShow("no trained cell has all of its benchmarks")
    axes_of = {"tokens": "Trained tokens, all epochs", "cost": f"Scoring and training ({source.unit})"}
    budgets = source.experiment.grid_budgets
    figure = Figure(figsize=(style.PAGE, 3.45 + 0.15 * -(-(len(budgets) + 6) // 3)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (column, text) in zip(axes, axes_of.items(), strict=True):
        known = found[found[column].notna()]
        _scatter(axis, known, column, budgets, _marked(source))
        _front_line(axis, known, column, zero_shot(source))
        axis.set_xlabel("\n".join(filter(None, (text, points.unknown(every, column)))))
    axes[0].set_ylabel("Avg (%)")
    axes[0].margins(y=0.12)
    if said := points.without_score(every):
        figure.suptitle(said, fontsize=style.SMALL)
    handles, _ = axes[0].get_legend_handles_labels()
    handles += _handles(source, found)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.5, columnspacing=1.2)
    style.freeze(figure)
    for axis, column in zip(axes, axes_of, strict=True):
        _labels(axis, found[found[column].notna()], column, source)
    return figure


def _marked(source: ModelResults) -> dict[str, dict[str, Any]]:
    """The variants that look the same at every budget, and how."""
    return {"qtuning": QTUNING} | dict.fromkeys(source.baselines.values(), BASELINE)


def _handles(source: ModelResults, found: pd.DataFrame) -> list[Line2D]:
    """The legend's marks that no budget has; only what the figure has."""
    there = set(found["variant"])
    bases = [source.label(name) for name in dict.fromkeys(source.baselines.values()) if name in there]
    said = [
        (f"baseline: {', '.join(bases)}", BASELINE, bool(bases)),
        (LABELS["qtuning"], QTUNING, "qtuning" in there),
        (f"circled: mean over fewer than {found['seeds'].max()} seeds", CIRCLE, bool(points.partial(found).any())),
    ]
    return [_handle(text, look) for text, look, holds in said if holds]


def _handle(text: str, look: dict[str, Any]) -> Line2D:
    shape: dict[str, Any] = {"marker": "o", "markersize": 7.0 if look is CIRCLE else 4.5, "linestyle": "none"}
    shape |= {"markerfacecolor": look["facecolor"], "markeredgecolor": look["edgecolor"]}
    return Line2D([], [], markeredgewidth=look["linewidth"], label=text, **shape)


def front(cost: Any, score: Any, floor: float) -> list[int]:
    """Rows of the points above `floor` that are better than all that cost no more, cheapest first."""
    chosen: list[int] = []
    best = floor
    for row in np.lexsort((-np.asarray(score), np.asarray(cost))):
        if score[row] > best:
            best = score[row]
            chosen.append(int(row))
    return chosen


def _scatter(
    axis: Any, known: pd.DataFrame, column: str, budgets: list[Budget], marked: dict[str, dict[str, Any]]
) -> None:
    """A colour and a marker a budget; references are stars; means that lack seeds are circled."""
    for number, budget in enumerate(budgets):
        same = (known["sample_ratio"] == budget.sample_ratio) & (known["token_ratio"] == budget.token_ratio)
        colour, marker = style.SERIES[number % len(style.SERIES)], MARKERS[number % len(MARKERS)]
        plain = known[same & ~known["variant"].isin(marked)]
        look = {"color": colour, "linewidths": 0, "label": heading(budget)}
        axis.scatter(plain[column], plain["score"], s=14, marker=marker, zorder=3, **look)
        for name, its in marked.items():
            own = known[same & (known["variant"] == name)]
            axis.scatter(own[column], own["score"], s=22, marker=marker, zorder=4, **its)
    lacking = known[points.partial(known)]
    axis.scatter(lacking[column], lacking["score"], s=58, marker="o", zorder=2.5, **CIRCLE)
    bare = known[known["sample_ratio"].isna()]
    axis.scatter(bare[column], bare["score"], s=42, marker="*", color="black", linewidths=0, label="all data", zorder=3)
    _scale(axis, known[column], column)


def _scale(axis: Any, values: "pd.Series[float]", column: str) -> None:
    if values.max() > WIDE * values.min() > 0:
        axis.set_xscale("log")
        subs = (1,) if values.max() > DECADES * values.min() else (1, 2, 5)
        axis.xaxis.set_major_locator(LogLocator(subs=subs))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(FuncFormatter(short if column == "tokens" else lambda value, _: f"{value:,.6g}"))


def short(value: float, _: Any = None) -> str:
    """A tick's number: 5 k, 60 M."""
    size, unit = next((pair for pair in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if value >= pair[0]), (1.0, ""))
    return f"{value / size:.6g}{unit}"


def _front_line(axis: Any, known: pd.DataFrame, column: str, floor: float) -> None:
    """What is the best for no more than a cost: a step at each point of the front, above what no training gives."""
    cost, score = known[column].to_numpy(), known["score"].to_numpy()
    rows = front(cost, score, floor)
    if np.isfinite(floor):
        axis.axhline(
            floor, color="0.3", linestyle=(0, (4, 2)), linewidth=0.8, zorder=1, label=f"Zero-Shot, {floor:.2f} %"
        )
    axis.step(cost[rows], score[rows], where="post", color="0.45", linewidth=0.9, zorder=2, label="Pareto front")


def zero_shot(source: ModelResults) -> float:
    """Avg of the untrained model (percent), which costs nothing; minus infinity where it is not there."""
    rows = source.averages
    score = rows.loc[rows["variant"] == "zero-shot", "score"].dropna()
    return float(score.iloc[0]) if len(score) else -np.inf


def _labels(axis: Any, known: pd.DataFrame, column: str, source: ModelResults) -> None:
    """Names of the points on the front, and of those without a budget; `(1/3)` where seeds are missing."""
    named = set(front(known[column].to_numpy(), known["score"].to_numpy(), zero_shot(source)))
    named |= set(np.flatnonzero(known["sample_ratio"].isna()).tolist())
    lines: Any = known.iloc[sorted(named)].itertuples()
    labels = [(getattr(line, column), line.score, _name(source, line)) for line in lines]
    if labels:
        placing.place(axis, labels, fontsize=style.SMALL)


def _name(source: ModelResults, line: Any) -> str:
    lacks = f" ({line.done}/{line.seeds})" if line.done < line.seeds else ""
    return source.label(line.variant) + lacks
