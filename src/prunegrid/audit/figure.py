"""The audit's frame (`prunegrid.audit.measure`) as one figure, in black and white: a panel per kind, a row per pruner.

A circle is a mean over the base models (small grey dots), its line the 95 % interval, the bar what chance gives.
Filled circles differ from chance after Holm's correction, with all base models on the same side.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from prunegrid.audit.report import HEADINGS, KINDS, NAMES, is_significant
from prunegrid.table.labels import published_label

RATIO = {"samples": "sample_ratio", "tokens": "token_ratio"}
WIDTH, PRUNER_HEIGHT, STEP = 10.0, 0.46, 0.24


def draw(frame: pd.DataFrame, file: Path) -> None:
    """Write the figure to `file`, as PNG whatever its name: samples above, tokens below."""
    parts = {unit: _drawn(frame, unit) for unit in KINDS}
    heights = [PRUNER_HEIGHT * part["pruner"].nunique() + 0.9 for part in parts.values()]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    halves: Any = figure.subfigures(len(parts), 1, height_ratios=heights)
    for half, (unit, part) in zip(halves, parts.items(), strict=True):
        _half(half, part, unit)
    figure.savefig(file, dpi=130, format="png", metadata={"Software": None})


def _drawn(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The rows to draw: of pruners that ran; for tokens only the largest sample ratio of a joint method."""
    rows = frame[(frame["what"] == unit) & frame["left_out"].isna()]
    if unit == "samples":
        return rows
    return rows[rows["sample_ratio"] == rows.groupby("pruner")["sample_ratio"].transform("max")]


def _half(half: Any, rows: pd.DataFrame, unit: str) -> None:
    pruners, ratios = list(rows["pruner"].unique()), sorted(rows[RATIO[unit]].unique())
    for axis, kind in zip(half.subplots(1, len(KINDS[unit]), sharey=True), KINDS[unit], strict=True):
        lines: Any = rows[rows["kind"] == kind].itertuples()
        for line in lines:
            level = ratios.index(getattr(line, RATIO[unit])) - (len(ratios) - 1) / 2
            _mark(axis, line, pruners.index(line.pruner) + STEP * level)
        axis.set_title(NAMES.get(kind, kind), fontsize=9)
        _frame(axis, [published_label(name) for name in pruners])
    percentages = ", ".join(f"{100 * ratio:.6g} %" for ratio in ratios)
    title = f"{HEADINGS[unit].partition(' (')[0]} (from above: {percentages} kept)"
    half.suptitle(title, fontsize=10, x=0.01, ha="left")


def _mark(axis: Any, line: Any, y: float) -> None:
    """One base model's dot, or the mean with its interval and chance; nothing if there is no share."""
    if pd.isna(line.share):
        return
    if pd.notna(line.seed):
        axis.plot(100 * line.share, y, ".", color="0.6", markersize=3, zorder=1)
        return
    fill = "black" if is_significant(line) else "white"
    ends = [100 * (line.chance + end) for end in (line.low, line.high)]
    axis.plot(ends, [y, y], color="black", linewidth=1, zorder=2)
    axis.plot(100 * line.chance, y, "|", color="black", markersize=8, zorder=2)
    axis.plot(100 * line.share, y, "o", color="black", markerfacecolor=fill, markersize=4.5, zorder=3)


def _frame(axis: Any, names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(-4, 104)
    axis.set_xticks([0, 50, 100])
    axis.tick_params(labelsize=8, length=2)
    axis.hlines([row + 0.5 for row in range(len(names) - 1)], -4, 104, color="0.85", linewidth=0.5)
