"""The error-uncertainty plane of a model: its training samples, Q-Tuning's thresholds and what they keep.

The axes are those of the paper's Figure 2 (arXiv 2509.23873), with every sample and the thresholds actually used.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from prunegrid import pruners
from prunegrid.core import files
from prunegrid.core.parts import find_table, read_parts
from prunegrid.experiment import grid, layout
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.variant import Budget, Variant
from prunegrid.figures import style
from prunegrid.figures.model_results import ModelResults, NothingToShow, count, percent
from prunegrid.selection.summary import SelectionSummary

DENSE = 5_000
RAISED = str.maketrans("0123456789-", "".join(map(chr, (0x2070, 0xB9, 0xB2, 0xB3, *range(0x2074, 0x207A), 0x207B))))
REASONS = {
    "q2": ("kept as Q2", style.VERMILLION, "^"),
    "q4": ("kept as Q4", style.BLUE, "v"),
    "fill": ("filled in", style.ORANGE, "o"),
}
PLACES = {"q1": (0.98, 0.98), "q2": (0.02, 0.98), "q3": (0.02, 0.02), "q4": (0.98, 0.02)}
ROOM = 0.24  # of the samples' range (logarithmic), above and below them
FREE = ROOM / (1 + 2 * ROOM)
BETWEEN = {"ppl": (0.0, 1.0), "entropy": (FREE, 1 - FREE)}  # where thresholds end: none crosses a text
DASHES = {"low": (0, (1, 1.5)), "high": (0, (4, 2))}
SPARSE = LinearSegmentedColormap.from_list("sparse", ["0.88", "0.4"])
NAMES = {"q1": "Q1 noise", "q2": "Q2 misconception", "q3": "Q3 redundant", "q4": "Q4 calibration"}


@dataclass(frozen=True)
class Panel:
    """One plane: its heading, and `reason` by sample_id for the samples that Q-Tuning kept, if any."""

    heading: str
    summary: SelectionSummary | None = None
    reason: "pd.Series[str] | None" = None


def draw(results: ModelResults) -> Figure:
    """A panel per sample ratio (the token ratio does not matter), or the bare plane if no variant has thresholds."""
    if results.experiment.unit == "conversation":
        raise NothingToShow("it shows single answers, and unit is conversation")
    file = f"{layout.scores(results.model)}/{layout.SAMPLES}"
    if not (results.root / file).exists():
        raise NothingToShow(f"{file} is missing")
    variant = _variant(results)
    samples, text = _samples(results, variant)
    panels = _panels(results, variant)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    width = style.COLUMN if columns == 1 else style.PAGE
    figure = Figure(figsize=(width, 2.75 * rows + 0.45), layout="constrained")
    style.title(figure, results.subject(extent=count(len(samples), "sample")))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _plane(axis, samples, panel)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[max(0, len(panels) - columns) : len(panels)]:
        axis.set_xlabel(f"Mean predictive entropy of {text} (nats)")
        axis.tick_params(labelbottom=True)
    figure.supylabel("Perplexity of the response", fontsize=style.NORMAL)
    style.legend(figure, _handles(panels, len(samples)), columns=2 * columns)
    return figure


def _variant(results: ModelResults) -> Variant | None:
    """The first static Q-Tuning variant, whose selections the panels show."""
    usual, variants = results.experiment.training.mode, results.experiment.variants
    return next((v for v in variants if v.method == "qtuning" and (v.mode or usual) == "static"), None)


def _samples(results: ModelResults, variant: Variant | None) -> tuple[pd.DataFrame, str]:
    """PPL and entropy of each sample, and of what text the entropy is: that which the variant's thresholds are of."""
    folder = results.root / layout.scores(results.model)
    samples = files.read_parquet(folder / layout.SAMPLES, ["sample_id", "entropy", "ppl"]).to_pandas()
    samples = samples.set_index("sample_id")
    if variant is None or "sequence_entropy" not in pruners.needs(variant.method, variant.options).samples:
        return samples, "the response"
    extra = folder / layout.EXTRA / "sequence_entropy.parquet"
    if not extra.exists():
        raise NothingToShow(f"{extra.relative_to(results.root)} is missing")
    column = files.read_parquet(extra, ["sample_id", "sequence_entropy"]).to_pandas().set_index("sample_id")
    return samples.assign(entropy=column["sequence_entropy"]), "prompt and response"


def _panels(results: ModelResults, variant: Variant | None) -> list[Panel]:
    """A panel per sample ratio."""
    if variant is None:
        return [Panel("")]
    budgets = {budget.sample_ratio: budget for budget in reversed(results.experiment.grid_budgets)}
    return [_panel(results, variant, budgets[ratio]) for ratio in sorted(budgets)]


def _panel(results: ModelResults, variant: Variant, budget: Budget) -> Panel:
    """Of the first seed with a selection: Q-Tuning's own rules draw nothing, so seeds agree."""
    heading = f"{percent(budget.sample_ratio)} of samples, {results.label(variant.name)}"
    for seed in results.experiment.seeds:
        cell = Cell(results.model, variant.name, budget, seed)
        folder = results.root / grid.selection_folder(results.experiment, cell)
        if (folder / layout.SUMMARY).exists() and find_table(folder / layout.SELECTION).exists():
            fill = (reason := _reasons(folder)).eq("fill").sum()
            return Panel(f"{heading}: {fill:,} filled in", SelectionSummary.read(folder / layout.SUMMARY), reason)
    return Panel(f"{heading}: no selection")


def _reasons(folder: Path) -> "pd.Series[str]":
    table = read_parts(find_table(folder / layout.SELECTION), ["sample_id", "reason"]).to_pandas()
    return pd.Series(table["reason"].to_numpy(), index=table["sample_id"])


def _plane(axis: Any, samples: pd.DataFrame, panel: Panel) -> None:
    axis.set_yscale("log")
    axis.margins(x=0.06)
    low, high = samples["ppl"].min(), samples["ppl"].max()
    room = (high / low) ** ROOM if high > low > 0 else 2.0
    axis.set_ylim(low / room, high * room)  # texts stand where no sample is
    _all(axis, samples)
    if panel.reason is not None and panel.summary is not None:
        _kept(axis, samples, panel.reason)
        _corners(axis, panel.summary, panel.reason)
    axis.set_title(panel.heading, fontsize=style.SMALL)
    axis.yaxis.set_major_locator(LogLocator(numticks=8))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "10" + f"{round(np.log10(value))}".translate(RAISED)))


def _all(axis: Any, samples: pd.DataFrame) -> None:
    """Every sample as a dot; many samples as densities in hexagons."""
    if len(samples) <= DENSE:
        axis.scatter(samples["entropy"], samples["ppl"], s=2, color="0.72", linewidths=0, rasterized=True)
        return
    axis.hexbin(
        samples["entropy"],
        samples["ppl"],
        yscale="log",
        gridsize=70,
        bins="log",
        mincnt=1,
        cmap=SPARSE,
        edgecolors="face",
        linewidths=0.2,
        rasterized=True,
    )


def _kept(axis: Any, samples: pd.DataFrame, reason: "pd.Series[str]") -> None:
    """The kept samples, marked by the reason that they are kept."""
    size = float(np.clip(2_000 / len(reason), 0.6, 7))
    for name, (_, colour, marker) in REASONS.items():
        rows = samples.loc[reason.index[reason == name]]
        look = {"color": colour, "marker": marker, "linewidths": 0, "rasterized": True}
        axis.scatter(rows["entropy"], rows["ppl"], s=size, zorder=3, **look)


def _handles(panels: list[Panel], n: int) -> list[Line2D]:
    """The legend: all samples, the reasons for which samples are kept, and the thresholds."""
    looks = [(f"all {n:,} samples", "0.65", "o" if n <= DENSE else "h")]
    if any(panel.reason is not None for panel in panels):
        looks += REASONS.values()
    bare: dict[str, Any] = {"linestyle": "none", "markersize": 4, "markeredgewidth": 0}
    handles = [Line2D([], [], color=colour, marker=marker, label=text, **bare) for text, colour, marker in looks]
    if any(panel.summary is not None for panel in panels):
        texts = {"high": "high from here", "low": "low up to here"}
        handles += [Line2D([], [], color="black", linewidth=0.7, linestyle=DASHES[e], label=texts[e]) for e in texts]
    return handles


def _corners(axis: Any, summary: SelectionSummary, reason: "pd.Series[str]") -> None:
    """The thresholds as lines, and in each corner its name and how many samples it holds."""
    thresholds, corners, kept_counts = summary.thresholds, summary.corners, reason.value_counts()
    assert thresholds is not None and corners is not None, "a selection by Q-Tuning has both"
    if isinstance(thresholds, list) and len(thresholds) == 1:
        for name, line in {"ppl": axis.axhline, "entropy": axis.axvline}.items():
            for end, look in DASHES.items():
                place = thresholds[0][f"{name}_{end}"]
                line(place, *BETWEEN[name], color="black", linewidth=0.7, linestyle=look, zorder=4)
    else:
        count = len(thresholds) if isinstance(thresholds, list) else thresholds["windows"]
        _write(axis, 0.5, 0.5, f"{count:,} windows, each with its own thresholds")
    for name, (x, y) in PLACES.items():
        kept_note = f", kept {kept_counts.get(name, 0):,}" if name in REASONS else ""
        _write(axis, x, y, f"{NAMES[name]}\n{corners[name]:,}{kept_note}")
    _write(axis, 0.5, 0.02, f"between\n{corners['between']:,}")


def _write(axis: Any, x: float, y: float, text: str) -> None:
    """Text at a place of the panel (axes fractions)."""
    align = "left" if x < 0.5 else "right" if x > 0.5 else "center"
    place = {"ha": align, "va": "bottom" if y < 0.5 else "top", "multialignment": align, "transform": axis.transAxes}
    axis.text(x, y, text, fontsize=style.SMALL, zorder=5, **place)
