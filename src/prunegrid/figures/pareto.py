"""The cost of a score: Avg against trained tokens and against the whole cost, with the Pareto front of each."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from prunegrid.experiment.names import ZERO_SHOT
from prunegrid.experiment.variant import Budget
from prunegrid.figures import placing, points, style
from prunegrid.figures.model_results import ModelResults, NothingToShow, heading
from prunegrid.table.labels import label

MARKERS = "osD^vPX<>h"
BASELINE_LOOK: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.9}
QTUNING: dict[str, Any] = {"facecolor": style.YELLOW, "edgecolor": "black", "linewidth": 0.9}
CIRCLE: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.35", "linewidth": 0.7}
WIDE, DECADES = 4.0, 50.0


def draw(results: ModelResults) -> Figure:
    """One point per variant and budget, means over seeds, and how many rows are left out."""
    rows = points.points(results)
    scored = rows[rows["score"].notna()]
    if scored.empty:
        raise NothingToShow("no trained cell has all of its benchmarks")
    axes_of = {"tokens": "Trained tokens, all epochs", "cost": f"Scoring and training ({results.unit})"}
    budgets = results.experiment.grid_budgets
    figure = Figure(figsize=(style.PAGE, 3.45 + 0.15 * -(-(len(budgets) + 6) // 3)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    looks = {"qtuning": QTUNING} | dict.fromkeys(results.baselines.values(), BASELINE_LOOK)  # the same at every budget
    for axis, (column, text) in zip(axes, axes_of.items(), strict=True):
        known_costs = scored[scored[column].notna()]
        _scatter(axis, known_costs, column, budgets, looks)
        _draw_front(axis, known_costs, column, zero_shot(results))
        axis.set_xlabel("\n".join(filter(None, (text, points.unknown(rows, column)))))
    axes[0].set_ylabel("Avg (%)")
    axes[0].margins(y=0.12)
    if unscored := points.without_score(rows):
        figure.suptitle(unscored, fontsize=style.SMALL)
    handles, _ = axes[0].get_legend_handles_labels()
    handles += _handles(results, scored)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.5, columnspacing=1.2)
    style.freeze(figure)
    for axis, column in zip(axes, axes_of, strict=True):
        _labels(axis, scored[scored[column].notna()], column, results)
    return figure


def _handles(results: ModelResults, scored: pd.DataFrame) -> list[Line2D]:
    """The legend's entries for marks that belong to no budget, if the figure has any."""
    variants = set(scored["variant"])
    bases = [results.label(name) for name in dict.fromkeys(results.baselines.values()) if name in variants]
    marks = [
        (f"baseline: {', '.join(bases)}", BASELINE_LOOK, bool(bases)),
        (label("qtuning"), QTUNING, "qtuning" in variants),
        (f"circled: mean over fewer than {scored['seeds'].max()} seeds", CIRCLE, bool(points.partial(scored).any())),
    ]
    return [_handle(text, look) for text, look, is_shown in marks if is_shown]


def _handle(text: str, look: dict[str, Any]) -> Line2D:
    shape: dict[str, Any] = {"marker": "o", "markersize": 7.0 if look is CIRCLE else 4.5, "linestyle": "none"}
    shape |= {"markerfacecolor": look["facecolor"], "markeredgecolor": look["edgecolor"]}
    return Line2D([], [], markeredgewidth=look["linewidth"], label=text, **shape)


def front(cost: Any, score: Any, floor: float) -> list[int]:
    """The rows of points above `floor` that are better than all that cost no more, cheapest first."""
    rows: list[int] = []
    best = floor
    for row in np.lexsort((-np.asarray(score), np.asarray(cost))):
        if score[row] > best:
            best = score[row]
            rows.append(int(row))
    return rows


def _scatter(
    axis: Any, rows: pd.DataFrame, column: str, budgets: list[Budget], looks: dict[str, dict[str, Any]]
) -> None:
    """A colour and a marker per budget; references are stars; means that lack seeds are circled."""
    for number, budget in enumerate(budgets):
        at_budget = (rows["sample_ratio"] == budget.sample_ratio) & (rows["token_ratio"] == budget.token_ratio)
        colour, marker = style.SERIES[number % len(style.SERIES)], MARKERS[number % len(MARKERS)]
        plain = rows[at_budget & ~rows["variant"].isin(looks)]
        look = {"color": colour, "linewidths": 0, "label": heading(budget)}
        axis.scatter(plain[column], plain["score"], s=14, marker=marker, zorder=3, **look)
        for name, special in looks.items():
            part = rows[at_budget & (rows["variant"] == name)]
            axis.scatter(part[column], part["score"], s=22, marker=marker, zorder=4, **special)
    partial = rows[points.partial(rows)]
    axis.scatter(partial[column], partial["score"], s=58, marker="o", zorder=2.5, **CIRCLE)
    references = rows[rows["sample_ratio"].isna()]
    axis.scatter(
        references[column],
        references["score"],
        s=42,
        marker="*",
        color="black",
        linewidths=0,
        label="all data",
        zorder=3,
    )
    _scale(axis, rows[column], column)


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


def _draw_front(axis: Any, points: pd.DataFrame, column: str, floor: float) -> None:
    """Draw the best score at or below each cost as a step line, and the untrained model's score `floor`."""
    cost, score = points[column].to_numpy(), points["score"].to_numpy()
    rows = front(cost, score, floor)
    if np.isfinite(floor):
        text = f"Zero-Shot, {floor:.2f} %"
        axis.axhline(floor, color="0.3", linestyle=(0, (4, 2)), linewidth=0.8, zorder=1, label=text)
    axis.step(cost[rows], score[rows], where="post", color="0.45", linewidth=0.9, zorder=2, label="Pareto front")


def zero_shot(results: ModelResults) -> float:
    """Avg of the untrained model (percent), which costs nothing; minus infinity if it is missing."""
    rows = results.averages
    score = rows.loc[rows["variant"] == ZERO_SHOT, "score"].dropna()
    return float(score.iloc[0]) if len(score) else -np.inf


def _labels(axis: Any, points: pd.DataFrame, column: str, results: ModelResults) -> None:
    """Names of the points on the front and of those without a budget; with `(1/3)` if seeds are missing."""
    rows = set(front(points[column].to_numpy(), points["score"].to_numpy(), zero_shot(results)))
    rows |= set(np.flatnonzero(points["sample_ratio"].isna()).tolist())
    lines: Any = points.iloc[sorted(rows)].itertuples()
    labels = [(getattr(line, column), line.score, _name(results, line)) for line in lines]
    if labels:
        placing.place(axis, labels, fontsize=style.SMALL)


def _name(results: ModelResults, line: Any) -> str:
    count = f" ({line.done}/{line.seeds})" if line.done < line.seeds else ""
    return results.label(line.variant) + count
