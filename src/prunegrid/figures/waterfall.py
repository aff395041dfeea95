"""What each difference of a ladder adds to the gap between two rows, from the paper's reading to the copy's."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.figures import noise, style
from prunegrid.figures.bars import CUT, CUT_LABEL, DOT, DOTS, FILLS, LOOKS, NO_FINDING, draw_interval
from prunegrid.figures.differences import limits
from prunegrid.figures.model_results import ModelResults, NothingToShow, signed
from prunegrid.statistics.inference import ALPHA
from prunegrid.statistics.ladder import decompose
from prunegrid.table.labels import label
from prunegrid.table.ladder import TITLES, counts, rows

LABEL_WIDTH, ROW_HEIGHT = 2.0, 0.3
LEFT_OVER: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.35", "linewidth": 0.7, "linestyle": (0, (2, 1.5))}
GAP: dict[str, Any] = {"facecolor": "0.75", "label": "gap in one reading"}
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
    lines = [(title, sides.get("contribution")) for title, sides in rows(frame) if title != TITLES["total"]]
    names = [label(name) for name in experiment.ladder.gap]
    bars = _bars(lines)
    ends = limits(bars)
    handles = _handles(lines, bars, names, ends)
    height = ROW_HEIGHT * len(lines) + 0.6 + 0.15 * -(-len(handles) // 3)
    figure = Figure(figsize=(style.PAGE, height), layout="constrained")
    style.title(figure, results.subject(budget, extent=counts(frame)))
    axis = figure.subplots()
    _draw_bars(axis, lines, bars, ends)
    axis.set_xlabel(f"{names[0]} minus {names[1]} (points of {AVERAGE})")
    style.legend(figure, handles)
    return figure


def _bars(lines: list[tuple[str, Any]]) -> pd.DataFrame:
    """Where each bar starts, ends (`delta`) and has its interval, in points: those of the two gaps start at zero."""
    level, nan = 0.0, float("nan")
    bars: list[tuple[float, float, float, float]] = []
    for title, row in lines:
        if row is None or pd.isna(row.points):
            bars.append((nan, nan, nan, nan))
            continue
        start = 0.0 if title in ENDS else level
        level = start + row.points
        low, high = noise.ends(row) or (nan, nan)
        bars.append((start, level, start + low, start + high))
    return pd.DataFrame(bars, columns=["start", "delta", "low", "high"])


def _draw_bars(axis: Any, lines: list[tuple[str, Any]], bars: pd.DataFrame, ends: tuple[float, float]) -> None:
    """Each bar from the last one's end. Numbers stand in a column on the right."""
    places: Any = list(bars.itertuples())
    for y, ((title, row), bar) in enumerate(zip(lines, places, strict=True)):
        place = {"x": 1.01, "y": y, "transform": axis.get_yaxis_transform(), "va": "center"}
        if pd.isna(bar.delta):
            axis.text(s="not finished", color="0.35", **place)
            continue
        axis.barh(y, row.points, left=bar.start, height=0.62, zorder=2, **_look(title, row))
        if y + 1 < len(lines):
            axis.plot([bar.delta, bar.delta], [y, y + 1], color="0.5", linewidth=0.5, zorder=1)
        if pd.notna(bar.low):
            draw_interval(axis, (bar.low, bar.high), y, ends, LOOKS[noise.interval(row)]["color"])
        if row.part == "contribution":
            axis.plot(bar.delta, y, zorder=4, **DOT, **DOTS[noise.tested(row)])
        axis.text(s=signed(row.points), **place)
    axis.set_yticks(range(len(lines)), [style.wrapped(title, LABEL_WIDTH) for title, _ in lines])
    axis.set_xlim(*ends)
    axis.set_ylim(len(lines) - 0.5, -0.6)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color="0.88", linewidth=0.5)
    axis.set_axisbelow(True)


def _look(title: str, row: Any) -> dict[str, Any]:
    if title in ENDS:
        return {"facecolor": GAP["facecolor"]}
    if title == TITLES["left-over"]:
        return LEFT_OVER
    return {key: value for key, value in FILLS[noise.verdict(row, row.points)].items() if key != "label"}


def _handles(
    lines: list[tuple[str, Any]], bars: pd.DataFrame, names: list[str], ends: tuple[float, float]
) -> list[Any]:
    """The legend of what the figure has."""
    known = [(title, row) for title, row in lines if row is not None and pd.notna(row.points)]
    differences = [row for _, row in known if row.part == "contribution"]
    verdicts = {noise.verdict(row, row.points) for row in differences}
    texts = {
        "better": f"in favour of {names[0]}",
        "worse": f"in favour of {names[1]}",
        "noise": NO_FINDING,
    }
    handles: list[Any] = [Patch(**GAP)]
    handles += [Patch(**{**look, "label": texts[kind]}) for kind, look in FILLS.items() if kind in verdicts]
    if any(title == TITLES["left-over"] for title, _ in known):
        handles.append(Patch(label="what differences do together", **LEFT_OVER))
    intervals, dots = {noise.interval(row) for _, row in known}, {*map(noise.tested, differences)}
    handles += [Line2D([], [], **look) for kind, look in LOOKS.items() if kind in intervals]
    handles += [Line2D([], [], **DOT, **look) for kind, look in DOTS.items() if kind in dots]
    if (bars["low"] < ends[0]).any() or (bars["high"] > ends[1]).any():
        handles.append(Line2D([], [], marker=">", color=style.BLACK, label=CUT_LABEL, **CUT))
    return handles
