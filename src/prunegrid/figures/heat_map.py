"""Avg delta of every pair, sample pruners by token pruners, a panel per budget: the table's grid at a glance."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from prunegrid.figures import style
from prunegrid.figures.model_results import ModelResults, NothingToShow, heading
from prunegrid.figures.squares import Square, Titles, axes, joint_variants, squares

CELL_WIDTH, CELL_HEIGHT, MARGIN, LABEL_WIDTH = 0.44, 0.34, 1.2, 1.15
COLOURS = "RdBu"
SCALE = 3.0  # the colours reach at least so many detectable differences
HATCH: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.72", "hatch": "//////", "linewidth": 0}
ABSENT: dict[str, Any] = {"facecolor": "0.92", "edgecolor": "white", "linewidth": 0}
Places = dict[tuple[str, str], Square]


def draw(results: ModelResults) -> Figure:
    """Means over seeds of the deltas of Avg (points): blue is better, red worse than the baseline, hatched neither."""
    rows, columns = axes(results)
    joint = {name: results.label(name) for name in joint_variants(results)}
    budgets = results.experiment.grid_budgets
    panels = {budget: squares(results, budget) for budget in budgets}
    shown = [square for panel in panels.values() for square in panel.values()]
    norm = CenteredNorm(0, _half_range(shown))
    panel_columns = _panel_columns(len(budgets), len(columns))
    panel_rows = -(-len(budgets) // panel_columns)
    wide = style.COLUMN if panel_columns == 1 and len(columns) <= 4 else style.PAGE
    handles = _handles(shown, wide, len(results.experiment.seeds) == 1)
    lines = sum(1 + handle.get_label().count("\n") for handle in handles)
    height = panel_rows * (CELL_HEIGHT * (len(rows) + len(joint)) + 0.3) + 0.95 + 0.14 * lines
    figure = Figure(figsize=(wide, height), layout="constrained")
    style.title(figure, results.subject(budgets[0] if len(budgets) == 1 else None))
    plots = figure.subplots(panel_rows, panel_columns, squeeze=False, sharex=True, sharey=True)
    for axis, budget in zip(plots.ravel(), budgets, strict=False):
        _panel(axis, _places(panels[budget], rows, columns, joint), norm, len(columns))
        _name(axis, rows, columns, joint, results)
        if len(budgets) > 1:
            axis.set_title(heading(budget), fontsize=style.SMALL)
    for axis in plots.ravel()[max(0, len(budgets) - panel_columns) : len(budgets)]:
        axis.tick_params(axis="x", labelbottom=True)
        axis.set_xlabel("Token pruner")
    for axis in plots.ravel()[len(budgets) :]:
        axis.set_visible(False)
    figure.supylabel("Sample pruner", fontsize=style.NORMAL)
    _colour_bar(figure, plots)
    style.legend(figure, handles, columns=1)
    return figure


def _half_range(shown: list[Square]) -> float:
    """Where the colours end (points): the largest delta, and at least three detectable differences."""
    deltas = [abs(square.delta) for square in shown if square.delta is not None and not square.is_base]
    if not deltas:
        raise NothingToShow("no pair of pruners has a delta of Avg")
    return max(*deltas, SCALE * max(_detectable(shown), default=0.0)) or 1.0


def _detectable(shown: Iterable[Square]) -> list[float]:
    return sorted({square.detectable for square in shown if square.detectable is not None})


def _panel_columns(panels: int, columns: int) -> int:
    """The number of panels side by side."""
    fitting = max(1, int((style.PAGE - MARGIN) / (CELL_WIDTH * columns + 0.08)))
    return min(panels, fitting)


def _places(shown: Places, rows: Titles, columns: Titles, joint: Titles) -> list[list[Square]]:
    """The map's squares by row and column; a joint method has one, as wide as the map."""
    nothing = Square(None, "\N{EN DASH}")
    pairs = [[shown.get((row, column), nothing) for column in columns] for row in rows]
    return pairs + [[shown.get((name, ""), nothing)] for name in joint]


def _panel(axis: Any, places: list[list[Square]], norm: CenteredNorm, columns: int) -> None:
    values = np.full((len(places), columns), np.nan)
    for y, line in enumerate(places):
        size = columns / len(line)
        for number, square in enumerate(line):
            _write(axis, square, size * (number + 0.5) - 0.5, y, norm)
            if square.delta is None or square.within_noise:
                look = ABSENT if square.delta is None else HATCH
                axis.add_patch(Rectangle((size * number - 0.5, y - 0.5), size, 1, **look))
            else:
                values[y, round(size * number) : round(size * (number + 1))] = square.delta
    axis.imshow(np.ma.masked_invalid(values), cmap=COLOURS, norm=norm, aspect="auto", interpolation="nearest")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _write(axis: Any, square: Square, x: float, y: int, norm: CenteredNorm) -> None:
    """The number of a place, in white where its colour is dark; a state or a dash is smaller."""
    dark = square.delta is not None and not square.within_noise and abs(square.delta) > 0.62 * norm.halfrange
    size = style.SMALL if square.delta is not None else style.SMALL - 1
    text = axis.text(x, y, square.text, ha="center", va="center", color="white" if dark else "black", fontsize=size)
    if square.within_noise:
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})


def _name(axis: Any, rows: Titles, columns: Titles, joint: Titles, results: ModelResults) -> None:
    """The names of rows and columns; Q-Tuning's are bold, and a line parts the joint methods from the pairs."""
    titles = [style.wrapped(title, LABEL_WIDTH) for title in (*rows.values(), *joint.values())]
    axis.set_xticks(range(len(columns)), columns.values(), rotation=30, ha="right", rotation_mode="anchor")
    axis.tick_params(axis="x", pad=3)
    axis.set_yticks(range(len(titles)), titles)
    if axis.get_subplotspec().is_first_col():
        for name, tick in zip(joint, axis.get_yticklabels()[len(rows) :], strict=True):
            tick.set_weight("bold" if results.is_qtuning(name) else "normal")
    if joint:
        axis.axhline(len(rows) - 0.5, color="black", linewidth=0.8)


def _colour_bar(figure: Figure, plots: Any) -> None:
    """Colours of deltas (points)."""
    bar = figure.colorbar(plots[0, 0].images[0], ax=plots, aspect=22, pad=0.02)
    bar.set_label("Delta of Avg (points)", fontsize=style.SMALL)
    bar.outline.set_linewidth(0.5)


def _handles(shown: list[Square], wide: float, one_seed: bool) -> list[Any]:
    """The legend of what the figure has."""
    sizes = [f"{value:.1f}" for value in _detectable(shown)]
    noise = " (noise of items alone)" if one_seed else ""
    size = f"{sizes[0]} to {sizes[-1]}" if len(set(sizes)) > 1 else sizes[0] if sizes else ""
    texts: list[tuple[bool, str, dict[str, Any]]] = [
        (
            any(square.within_noise for square in shown),
            f"smaller than a difference found four times in five: {size} points{noise}" if size else "noise unknown",
            HATCH,
        ),
        (any(square.delta is None for square in shown), "no number: its state, or a dash for no such pair", ABSENT),
    ]
    handles: list[Any] = [
        Patch(label=style.wrapped(text, wide - 0.75), **look) for is_there, text, look in texts if is_there
    ]
    if any(square.significant for square in shown):
        text = style.wrapped("differs, corrected over the rows", wide - 0.75)
        handles.append(Line2D([], [], linestyle="none", marker=(6, 2, 0), color="black", markersize=4, label=text))
    return handles
