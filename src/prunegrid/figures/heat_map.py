"""Avg delta of every pair, sample pruners by token pruners, a panel per budget: the table's grid at a glance."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prunegrid import pruners
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.figures import names, style
from prunegrid.figures.model_results import ModelResults, NothingToShow, heading, signed
from prunegrid.results import collect
from prunegrid.table.document import PRUNERS
from prunegrid.table.labels import titles

CELL_WIDTH, CELL_HEIGHT, MARGIN, MIN_HEIGHT = 0.44, 0.34, 1.2, 1.2
COLOURS = "RdBu"


def draw(results: ModelResults) -> Figure:
    """Means over seeds of the deltas of Avg (points): blue is better, red worse than the baseline."""
    shown_variants = _variants(results)
    shown = [variant for variant in results.experiment.variants if variant.name in shown_variants]
    pairs = [zip(pruners.pruner_names(variant.method), titles(variant), strict=True) for variant in shown]
    rows, columns = (dict(parts) for parts in zip(*pairs, strict=True))
    budgets = results.experiment.grid_budgets
    squares = {budget: _squares(results, budget) for budget in budgets}
    deltas = [abs(delta) for panel in squares.values() for delta, _ in panel.values() if delta is not None]
    if not deltas:
        raise NothingToShow("no pair of pruners has a delta of Avg")
    panel_columns = _panel_columns(len(budgets), len(columns))
    panel_rows = -(-len(budgets) // panel_columns)
    width = style.COLUMN if panel_columns == 1 and len(columns) <= 4 else style.PAGE
    figure = Figure(
        figsize=(width, panel_rows * (max(MIN_HEIGHT, CELL_HEIGHT * len(rows)) + 0.3) + 0.95), layout="constrained"
    )
    axes = figure.subplots(panel_rows, panel_columns, squeeze=False, sharex=True, sharey=True)
    norm = CenteredNorm(0, max(deltas) or 1.0)
    for axis, budget in zip(axes.ravel(), budgets, strict=False):
        _panel(axis, squares[budget], rows, columns, norm)
        axis.set_title(heading(budget), fontsize=style.SMALL)
    for axis in axes.ravel()[max(0, len(budgets) - panel_columns) : len(budgets)]:
        axis.tick_params(axis="x", labelbottom=True)
    for axis in axes.ravel()[len(budgets) :]:
        axis.set_visible(False)
    figure.supxlabel("Token pruner", fontsize=style.NORMAL)
    figure.supylabel("Sample pruner", fontsize=style.NORMAL)
    bar = figure.colorbar(axes[0, 0].images[0], ax=axes, aspect=22, pad=0.02)
    bar.set_label("Delta of Avg (points)", fontsize=style.SMALL)
    bar.outline.set_linewidth(0.5)
    return figure


def _panel_columns(panels: int, columns: int) -> int:
    """The number of panels side by side."""
    fitting = max(1, int((style.PAGE - MARGIN) / (CELL_WIDTH * columns + 0.08)))
    return min(panels, fitting)


Square = tuple[float | None, str]
Titles = dict[str, str]  # of pruners, by name


def _variants(results: ModelResults) -> set[str]:
    """The variants in the map: plain pairs and their baselines."""
    pairs = {variant.name for variant in results.experiment.variants if names.is_plain_pair(variant)}
    return pairs | {results.baselines[name] for name in pairs}


def _squares(results: ModelResults, budget: Budget) -> dict[tuple[str, str], Square]:
    """By pair: the mean delta, or None, and the text to print."""
    rows = results.budget_rows(results.averages, budget)
    pairs = rows[rows["variant"].isin(_variants(results))].groupby(PRUNERS, sort=False)
    return {(str(sample), str(token)): _square(results, budget, part) for (sample, token), part in pairs}


def _square(results: ModelResults, budget: Budget, part: pd.DataFrame) -> Square:
    variant = str(part["variant"].iloc[0])
    if variant in results.baselines.values() and part["score"].notna().any():
        return 0.0, "base"
    deltas = part["delta"].dropna()
    if not len(deltas):
        worst = max(part["status"], key=collect.SEVERITY.index)
        return None, "no base" if worst == "done" else worst
    seeds = "" if len(deltas) == len(part) else f"\n({len(deltas)}/{len(part)})"
    return float(deltas.mean()), signed(deltas.mean()) + _mark(results, budget, variant) + seeds


def _mark(results: ModelResults, budget: Budget, variant: str) -> str:
    """A star if the delta is significant after the correction over its rows."""
    if results.deltas is None:
        return ""
    rows = results.budget_rows(results.deltas, budget)
    line = rows[(rows["variant"] == variant) & (rows["benchmark"] == AVERAGE)]
    return "*" if line["significant"].eq(True).any() else ""


def _panel(
    axis: Any, squares: dict[tuple[str, str], Square], rows: Titles, columns: Titles, norm: CenteredNorm
) -> None:
    values = np.full((len(rows), len(columns)), np.nan)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            delta, text = squares.get((row, column), (None, "\N{EN DASH}"))
            values[y, x] = np.nan if delta is None else delta
            pale = delta is None or abs(delta) < 0.62 * norm.halfrange
            axis.text(x, y, text, ha="center", va="center", color="black" if pale else "white", fontsize=style.SMALL)
            if delta is None:
                axis.texts[-1].set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
                axis.add_patch(
                    Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="0.93", edgecolor="0.55", hatch="////", linewidth=0)
                )
    axis.imshow(np.ma.masked_invalid(values), cmap=COLOURS, norm=norm, aspect="auto", interpolation="nearest")
    axis.set_xticks(range(len(columns)), columns.values(), rotation=30, ha="right")
    axis.tick_params(axis="x", pad=1)
    axis.set_yticks(range(len(rows)), rows.values())
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
