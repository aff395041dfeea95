"""The audit's frame (`prunegrid.audit.measure`) as one figure, in black and white: a panel per kind, a row per pruner.

A circle is a mean over the base models (small grey dots), its line the 95 % interval, the bar what chance gives.
Filled circles differ from chance after Holm's correction, with all base models on the same side.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from prunegrid.audit.report import HEADINGS, KINDS, NAMES, is_significant
from prunegrid.table.labels import published_label

RATIO = {"samples": "sample_ratio", "tokens": "token_ratio"}
WIDTH, LINE, DPI, SMALL = 7.0, 0.11, 200, 7
BAND = "#E3ECFA"  # of Q-Tuning's rows, as in the table
MEAN: dict[str, Any] = {"marker": "o", "color": "black", "markersize": 3.4, "linewidth": 0.9, "markeredgewidth": 0.8}
DOT: dict[str, Any] = {"marker": ".", "color": "0.55", "markersize": 3, "linestyle": "none", "markeredgewidth": 0}
CHANCE: dict[str, Any] = {"marker": "|", "color": "black", "markersize": 6, "linestyle": "none", "markeredgewidth": 0.9}
LEGEND = (
    ("mean of the base models, 95 % interval", MEAN | {"markerfacecolor": "white"}),
    ("filled: differs from chance, corrected, all models agree", MEAN | {"linestyle": "none"}),
    ("one base model", DOT),
    ("by chance", CHANCE),
)


def draw(frame: pd.DataFrame, file: Path) -> None:
    """Write the figure to `file`, as PNG whatever its name."""
    make(frame).savefig(file, dpi=DPI, format="png", metadata={"Software": None})


def make(frame: pd.DataFrame) -> Figure:
    """The figure: samples above, tokens below, then the legend."""
    parts = {unit: _drawn(frame, unit) for unit in KINDS}
    heights = [LINE * (_ratios(part, unit) + 1) * part["pruner"].nunique() + 0.75 for unit, part in parts.items()]
    sizes = [0.2, *heights, 0.4]
    figure = Figure(figsize=(WIDTH, sum(sizes)), layout="constrained")
    strips: Any = figure.subfigures(len(sizes), 1, height_ratios=sizes)
    top, *halves, bottom = strips
    top.text(0.01, 0.5, subject(frame), fontsize=SMALL + 1, weight="bold", va="center")
    for half, (unit, part) in zip(halves, parts.items(), strict=True):
        _half(half, part, unit)
    handles: list[Any] = [Line2D([], [], label=text, **look) for text, look in LEGEND]
    handles.append(Patch(facecolor=BAND, label="Q-Tuning"))
    bottom.legend(handles=handles, loc="center", ncols=3, fontsize=SMALL, frameon=False, columnspacing=1.2)
    return figure


def subject(frame: pd.DataFrame) -> str:
    """The title: the base models and how many samples were planted."""
    models = list(frame["model"].dropna().unique())
    planted = frame[(frame["what"] == "samples") & frame["seed"].notna()].drop_duplicates("kind")
    count = "1 base model" if len(models) == 1 else f"{len(models)} base models"
    return f"{models[0]} \N{MIDDLE DOT} {count} \N{MIDDLE DOT} {planted['n'].sum():,} planted samples" if models else ""


def _ratios(part: pd.DataFrame, unit: str) -> int:
    return int(part[RATIO[unit]].nunique())


def _drawn(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The rows to draw: of pruners that ran; for tokens only the largest sample ratio of a joint method."""
    rows = frame[(frame["what"] == unit) & frame["left_out"].isna()]
    if unit == "samples":
        return rows
    return rows[rows["sample_ratio"] == rows.groupby("pruner")["sample_ratio"].transform("max")]


def _half(half: Any, rows: pd.DataFrame, unit: str) -> None:
    pruners, ratios = list(rows["pruner"].unique()), sorted(rows[RATIO[unit]].unique())
    step = 1 / (len(ratios) + 1)
    for axis, kind in zip(half.subplots(1, len(KINDS[unit]), sharey=True), KINDS[unit], strict=True):
        part = rows[rows["kind"] == kind]
        lines: Any = part.itertuples()
        for line in lines:
            level = ratios.index(getattr(line, RATIO[unit])) - (len(ratios) - 1) / 2
            _mark(axis, line, pruners.index(line.pruner) + step * level)
        counts = part["n"].dropna()
        size = f"\n{int(counts.max()):,}" if len(counts) else "\n"
        axis.set_title(NAMES.get(kind, kind).replace("_", " ") + size, fontsize=SMALL)
        _frame(axis, pruners)
    percentages = ", ".join(f"{100 * ratio:.6g} %" for ratio in ratios)
    title = f"{HEADINGS[unit].partition(' (')[0]} (from above: {percentages} kept)"
    half.suptitle(title, fontsize=SMALL + 1, x=0.01, ha="left")


def _mark(axis: Any, line: Any, y: float) -> None:
    """One base model's dot, or the mean with its interval and chance; nothing if there is no share."""
    if pd.isna(line.share):
        return
    if pd.notna(line.seed):
        axis.plot(100 * line.share, y, zorder=1, **DOT)
        return
    ends = [100 * (line.chance + end) for end in (line.low, line.high)]
    axis.plot(ends, [y, y], color="black", linewidth=MEAN["linewidth"], zorder=2)
    axis.plot(100 * line.chance, y, zorder=2, **CHANCE)
    fill = "black" if is_significant(line) else "white"
    axis.plot(100 * line.share, y, zorder=3, **MEAN, markerfacecolor=fill)


def _frame(axis: Any, pruners: Sequence[str]) -> None:
    axis.set_yticks(range(len(pruners)), [published_label(name) for name in pruners], fontsize=SMALL)
    axis.set_ylim(len(pruners) - 0.5, -0.5)
    axis.set_xlim(-6, 106)
    axis.set_xticks([0, 50, 100])
    axis.tick_params(labelsize=SMALL, length=2)
    axis.tick_params(axis="y", length=0)
    axis.hlines([row + 0.5 for row in range(len(pruners) - 1)], -6, 106, color="0.85", linewidth=0.5)
    for row, name in enumerate(pruners):
        if name == "qtuning":
            axis.axhspan(row - 0.5, row + 0.5, color=BAND, linewidth=0, zorder=0)
    for spine in axis.spines.values():
        spine.set_linewidth(0.5)
