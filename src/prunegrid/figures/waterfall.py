"""What each difference of a ladder adds to the gap between two rows, from the paper's reading to the copy's."""

from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.figures import style
from prunegrid.figures.bars import DOT, DOTS, LOOKS, interval, tested
from prunegrid.figures.model_results import ModelResults, NothingToShow, heading, signed
from prunegrid.statistics.inference import ALPHA
from prunegrid.statistics.ladder import decompose
from prunegrid.table.ladder import TITLES, counts, rows

LABEL, ROW_HEIGHT = 34, 0.3
FALL = "#F0C08A"
COLOURS = {"gap": "0.75", "rise": style.SKY, "fall": FALL, "left-over": "white"}
ENDS = (TITLES["paper"], TITLES["copy"])


def draw(results: ModelResults, budget: Budget) -> Figure:
    """A bar per difference, starting where the one above it ends, with the interval of its own length."""
    experiment = results.experiment
    assert experiment.ladder is not None
    frame = decompose(experiment, results.frame, results.root, places=[(results.model, budget)])
    frame = frame[frame["benchmark"] == AVERAGE]
    frame = frame.assign(significant=(frame["p_adjusted"] < ALPHA).astype("boolean").where(frame["p_adjusted"].notna()))
    if frame.empty or frame["points"].isna().all():
        raise NothingToShow("no cell of the ladder is finished at this budget")
    lines = [(label, sides.get("contribution")) for label, sides in rows(frame) if label != TITLES["total"]]
    figure = Figure(figsize=(style.PAGE, ROW_HEIGHT * len(lines) + 1.35), layout="constrained")
    axis = figure.subplots()
    _draw_bars(axis, lines)
    first, second = experiment.ladder.gap
    axis.set_xlabel(f"{first} minus {second} (points of {AVERAGE}; {counts(frame)}; {heading(budget)})")
    figure.legend(handles=_handles(lines, first, second), loc="outside upper center", ncols=3, handletextpad=0.6)
    return figure


def _draw_bars(axis: Any, lines: list[tuple[str, Any]]) -> None:
    """Each bar from the last one's end; those of the two gaps from zero. Numbers stand in a column on the right."""
    level = 0.0
    for y, (label, row) in enumerate(lines):
        if row is None or pd.isna(row.points):
            axis.text(1.01, y, "not finished", transform=axis.get_yaxis_transform(), va="center", color="0.35")
            continue
        start = 0.0 if label in ENDS else level
        end = start + row.points
        axis.barh(y, row.points, left=start, height=0.62, zorder=2, **_look(label, row.points))
        if y + 1 < len(lines):
            axis.plot([end, end], [y, y + 1], color="0.5", linewidth=0.5, zorder=1)
        _draw_interval(axis, row, start, y)
        axis.text(1.01, y, signed(row.points), transform=axis.get_yaxis_transform(), va="center")
        level = end
    axis.set_yticks(range(len(lines)), [fill(label, LABEL) for label, _ in lines])
    axis.set_ylim(len(lines) - 0.5, -0.6)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)


def _draw_interval(axis: Any, row: Any, start: float, y: int) -> None:
    kind = interval(row)
    if kind != "none":
        ends = [row.low, row.high] if kind == "both" else [row.item_low, row.item_high]
        colour = LOOKS[kind]["color"]
        axis.plot([start + end for end in ends], [y, y], color=colour, linewidth=1.1, solid_capstyle="butt", zorder=3)
    if row.part == "contribution":
        axis.plot(start + row.points, y, zorder=4, **DOT, **DOTS[tested(row)])


def _look(label: str, points: float) -> dict[str, Any]:
    if label in ENDS:
        return {"color": COLOURS["gap"]}
    if label == TITLES["left-over"]:
        return {"facecolor": COLOURS["left-over"], "edgecolor": "0.35", "linewidth": 0.7, "hatch": "////"}
    return {"color": COLOURS["rise"] if points >= 0 else COLOURS["fall"]}


def _handles(lines: list[tuple[str, Any]], first: str, second: str) -> list[Any]:
    """The legend of what the figure has."""
    known = [row for _, row in lines if row is not None and pd.notna(row.points)]
    differences = [row for row in known if row.part == "contribution"]
    handles: list[Any] = [Patch(color=COLOURS["gap"], label="gap in one reading")]
    for kind, row_name in (("rise", first), ("fall", second)):
        if any((row.points >= 0) == (kind == "rise") for row in differences):
            handles.append(Patch(color=COLOURS[kind], label=f"in favour of {row_name}"))
    handles += [Line2D([], [], **look) for kind, look in LOOKS.items() if kind in {interval(row) for row in known}]
    return handles + [
        Line2D([], [], **DOT, **look) for kind, look in DOTS.items() if kind in {*map(tested, differences)}
    ]
