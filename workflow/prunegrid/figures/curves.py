"""How a model changes while it is trained and pruned: perplexity and entropy of fixed samples.

The paper's Figure 8 (arXiv 2509.23873), for every dynamic variant.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from prunegrid import io
from prunegrid.figures import names, style
from prunegrid.figures.source import NothingToShow, Source, heading
from prunegrid.grid import Cell
from prunegrid.sections import Budget

AXES = {"ppl": "Mean perplexity", "entropy": "Mean entropy (nats)"}
DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = "os^Dv<>PX"


def draw(source: Source) -> Figure:
    """A row a budget; a line a dynamic variant, the mean over the seeds that are there."""
    variants = [variant.name for variant in names.dynamic(source.experiment)]
    budgets = source.experiment.grid_budgets
    probes = {(budget, name): _probes(source, budget, name) for budget in budgets for name in variants}
    if all(part.empty for part in probes.values()):
        raise NothingToShow("no dynamic cell has been trained")
    legend = -(-len(variants) // 3)
    size = (style.PAGE, 2.1 * len(budgets) + 0.35 + 0.15 * legend)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(budgets), 2, squeeze=False, sharex=True)
    for row, budget in zip(axes, budgets, strict=True):
        for axis, (column, text) in zip(row, AXES.items(), strict=True):
            for number, name in enumerate(variants):
                _line(axis, probes[budget, name], column, source.label(name), number)
            axis.set_ylabel(text)
            axis.margins(x=0.03)
        _logarithmic(row[0])
        if len(budgets) > 1:
            row[0].set_title(heading(budget), fontsize=style.SMALL, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("Optimizer step")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=3, columnspacing=1.2)
    return figure


def _probes(source: Source, budget: Budget, variant: str) -> pd.DataFrame:
    """step, ppl, entropy (nats): means over the seeds whose training is done."""
    rows: list[dict[str, Any]] = []
    for seed in source.experiment.seeds:
        cell = Cell(source.model, variant, budget, seed)
        file = source.root / "trained" / cell.model / cell.path / "training.json"
        if file.exists():
            rows += io.read_json(file).get("probes", [])
    frame = pd.DataFrame(rows, columns=["step", "ppl", "entropy"])
    return frame.groupby("step").mean().reset_index()


def _line(axis: Any, probes: pd.DataFrame, column: str, label: str, number: int) -> None:
    """The number-th line; one that has no points says so in the legend."""
    colour = style.SERIES[number % len(style.SERIES)]
    look = {"linestyle": DASHES[number % len(DASHES)], "marker": MARKERS[number % len(MARKERS)], "markersize": 2.8}
    text = f"{label} (not there)" if probes.empty else label
    axis.plot(probes["step"], probes[column], color=colour, markeredgewidth=0, label=text, **look)


def _logarithmic(axis: Any) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=10))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
