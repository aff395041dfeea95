"""The cost of a score: Avg against what is counted, and against measured cost where the machine was steady."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from prunegrid.experiment.names import ZERO_SHOT
from prunegrid.experiment.variant import Budget
from prunegrid.figures import placing, points, style
from prunegrid.figures.differences import span
from prunegrid.figures.model_results import ModelResults, NothingToShow, heading
from prunegrid.table.labels import label

MARKERS = "osD^vPX<>h"
BASELINE_LOOK: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.9}
QTUNING: dict[str, Any] = {"facecolor": style.YELLOW, "edgecolor": "black", "linewidth": 0.9}
CIRCLE: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.35", "linewidth": 0.7}
INTERVAL: dict[str, Any] = {"color": "0.62", "linewidth": 0.7, "solid_capstyle": "butt"}
WIDE, DECADES = 4.0, 50.0
NAMES_APART = 0.05  # of the axis of Avg


def draw(results: ModelResults) -> Figure:
    """One point per variant and budget, means over seeds, and how many rows are left out."""
    rows = points.points(results)
    scored = rows[rows["score"].notna()]
    if scored.empty:
        raise NothingToShow("no trained cell has all of its benchmarks")
    factor = points.spread(results)
    shown = _columns(results, scored, factor)
    budgets = results.experiment.grid_budgets
    remarks = _remarks(rows, factor)
    figure = Figure(
        figsize=(style.PAGE, 3.3 + 0.15 * (len(remarks) + -(-(len(budgets) + 7) // 3))), layout="constrained"
    )
    style.title(figure, results.subject(budgets[0] if len(budgets) == 1 else None))
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    limits = _limits(scored, zero_shot(results))
    for axis, (column, text) in zip(axes, shown.items(), strict=True):
        known = scored[scored[column].notna()]
        _scatter(axis, results, known, column, budgets)
        _draw_intervals(axis, known, column)
        _draw_front(axis, known, column, zero_shot(results))
        axis.set_ylim(*limits)
        axis.set_xlabel("\n".join(filter(None, (text, points.unknown(rows, column)))))
    axes[0].set_ylabel("Avg (%)")
    handles, _ = axes[0].get_legend_handles_labels()
    style.legend(figure, [*handles, *_handles(results, scored)], "\n".join(remarks), title_size=style.SMALL)
    style.freeze(figure)
    for axis, column in zip(axes, shown, strict=True):
        _labels(axis, scored[scored[column].notna()], column, results)
    return figure


def _columns(results: ModelResults, scored: pd.DataFrame, factor: float | None) -> dict[str, str]:
    """The panels: what is counted, and the measured cost if trainings of equal work took equal time."""
    counted = {
        "tokens": "Trained tokens, all epochs",
        "work": "Work (tokens read; a training's \N{MULTIPLICATION SIGN} 3)",
    }
    if scored["work"].isna().all():
        counted = {"tokens": counted["tokens"], "steps": "Optimizer steps"}
    if factor is None or factor > points.STEADY:
        return counted
    return counted | {"cost": f"Measured ({results.unit}; equal work: +{100 * (factor - 1):.0f} %)"}


def _remarks(rows: pd.DataFrame, factor: float | None) -> list[str]:
    """What is left out, in sentences that fit the page."""
    texts = filter(None, (points.without_score(rows), points.time_remark(factor)))
    return [line for text in texts for line in style.wrapped(text, style.PAGE - 0.3).split("\n")]


def _limits(scored: pd.DataFrame, floor: float) -> tuple[float, float]:
    """The axis of Avg: every mean, the untrained model's, and the intervals, of which a huge one is cut."""
    low, high = span(scored.rename(columns={"score": "delta"}))
    low = min(low, floor) if np.isfinite(floor) else low
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


def _handles(results: ModelResults, scored: pd.DataFrame) -> list[Line2D]:
    """The legend's entries for marks that belong to no budget, if the figure has any."""
    variants = set(scored["variant"])
    bases = [results.label(name) for name in dict.fromkeys(results.baselines.values()) if name in variants]
    marks = [
        (f"baseline: {', '.join(bases)}", BASELINE_LOOK, bool(bases)),
        (label("qtuning"), QTUNING, any(map(results.is_qtuning, variants))),
        (f"circled: mean over fewer than {scored['seeds'].max()} seeds", CIRCLE, bool(points.partial(scored).any())),
    ]
    handles = [_handle(text, look) for text, look, is_shown in marks if is_shown]
    if scored["low"].notna().any():
        noise = "items" if len(results.experiment.seeds) == 1 else "items, seeds"
        handles.append(Line2D([], [], label=f"95 % of difference from baseline ({noise})", **INTERVAL))
    return handles


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


def _looks(results: ModelResults, rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The looks of baselines and of Q-Tuning, under whatever name; the same at every budget."""
    qtuning = {name: QTUNING for name in rows["variant"].unique() if results.is_qtuning(name)}
    return qtuning | dict.fromkeys(results.baselines.values(), BASELINE_LOOK)


def _scatter(axis: Any, results: ModelResults, rows: pd.DataFrame, column: str, budgets: list[Budget]) -> None:
    """A colour and a marker per budget; references are stars; means that lack seeds are circled."""
    looks = _looks(results, rows)
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
    if len(references):
        look = {"marker": "*", "color": "black", "linewidths": 0, "label": "all data"}
        axis.scatter(references[column], references["score"], s=42, zorder=3, **look)
    _scale(axis, rows[column])


def _draw_intervals(axis: Any, rows: pd.DataFrame, column: str) -> None:
    lines: Any = rows[rows["low"].notna()].itertuples()
    for line in lines:
        x = getattr(line, column)
        axis.plot([x, x], [line.low, line.high], zorder=1.5, **INTERVAL)


def _scale(axis: Any, values: "pd.Series[float]") -> None:
    """Logarithmic where values differ by more than a factor of four."""
    if values.max() > WIDE * values.min() > 0:
        axis.set_xscale("log")
        subs = (1,) if values.max() > DECADES * values.min() else (1, 2, 5)
        axis.xaxis.set_major_locator(LogLocator(subs=subs))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.margins(x=0.08)
    axis.xaxis.set_major_formatter(FuncFormatter(short))


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
    axis.step(cost[rows], score[rows], where="post", color="0.3", linewidth=1.0, zorder=2, label="Pareto front")


def zero_shot(results: ModelResults) -> float:
    """Avg of the untrained model (percent), which costs nothing; minus infinity if it is missing."""
    rows = results.averages
    score = rows.loc[rows["variant"] == ZERO_SHOT, "score"].dropna()
    return float(score.iloc[0]) if len(score) else -np.inf


def _labels(axis: Any, points: pd.DataFrame, column: str, results: ModelResults) -> None:
    """Names of the points on the front and of those without a budget; `(1/3)` if seeds are missing."""
    rows = set(_apart(axis, points, front(points[column].to_numpy(), points["score"].to_numpy(), zero_shot(results))))
    rows |= set(np.flatnonzero(points["sample_ratio"].isna()).tolist())
    lines: Any = points.iloc[sorted(rows)].itertuples()
    labels = [(getattr(line, column), line.score, _name(results, line)) for line in lines]
    if labels:
        placing.place(axis, labels, fontsize=style.SMALL)


def _apart(axis: Any, points: pd.DataFrame, rows: list[int]) -> list[int]:
    """Of the front's `rows`, those whose names have room: from the best down, each a line of text below the last."""
    low, high = axis.get_ylim()
    step, kept = NAMES_APART * (high - low), list[int]()
    for row in reversed(rows):
        if not kept or points["score"].iloc[kept[-1]] - points["score"].iloc[row] >= step:
            kept.append(row)
    return kept


def _name(results: ModelResults, line: Any) -> str:
    count = f" ({line.done}/{line.seeds})" if line.done < line.seeds else ""
    return style.wrapped(results.label(line.variant), 1.4) + count
