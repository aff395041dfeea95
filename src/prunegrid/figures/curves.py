"""How a model changes while it is trained and pruned: perplexity and entropy of fixed samples.

The paper's Figure 8 (arXiv 2509.23873), for every dynamic variant.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from prunegrid.core.files import read_json
from prunegrid.experiment import layout
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.variant import Budget
from prunegrid.figures import names, style
from prunegrid.figures.model_results import ModelResults, NothingToShow, heading

AXES = {"ppl": "Mean perplexity", "entropy": "Mean entropy (nats)"}
DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = "os^Dv<>PX"


def draw(results: ModelResults) -> Figure:
    """A row per budget; a line per dynamic variant, the mean over the seeds that are done."""
    variants = [variant.name for variant in names.dynamic_variants(results.experiment)]
    budgets = results.experiment.grid_budgets
    trained = {(budget, name): _trained(results, budget, name) for budget in budgets for name in variants}
    probes = {key: _probes(reports) for key, reports in trained.items()}
    if all(part.empty for part in probes.values()):
        raise NothingToShow(f"{_gap(trained.values())} of any dynamic cell")
    gaps = {name: _gap(trained[budget, name] for budget in budgets) for name in variants}
    legend = -(-len(variants) // 3)
    size = (style.PAGE, 2.1 * len(budgets) + 0.35 + 0.15 * legend)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(budgets), 2, squeeze=False, sharex=True)
    for row, budget in zip(axes, budgets, strict=True):
        for axis, (column, text) in zip(row, AXES.items(), strict=True):
            for number, name in enumerate(variants):
                label = f"{results.label(name)} ({gaps[name]})" if gaps[name] else results.label(name)
                _line(axis, probes[budget, name], column, label, number)
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


def _trained(results: ModelResults, budget: Budget, variant: str) -> list[dict[str, Any]]:
    """The reports of the trainings that are done, one per seed."""
    cells = [Cell(results.model, variant, budget, seed) for seed in results.experiment.seeds]
    files = [results.root / layout.training(cell.name) for cell in cells]
    return [read_json(file) for file in files if file.exists()]


def _probes(reports: list[dict[str, Any]]) -> pd.DataFrame:
    """step, ppl, entropy (nats): means over the seeds whose training is done."""
    rows = [probe for report in reports for probe in report.get("probes", [])]
    frame = pd.DataFrame(rows, columns=["step", "ppl", "entropy"])
    return frame.groupby("step").mean().reset_index()


def _gap(trained: Iterable[list[dict[str, Any]]]) -> str:
    """Why these cells have no point; empty if they have one."""
    reports = [report for group in trained for report in group]
    if not reports:
        return f"no {layout.TRAINING}"
    return "" if any(report.get("probes") for report in reports) else f"no probes in {layout.TRAINING}"


def _line(axis: Any, probes: pd.DataFrame, column: str, label: str, number: int) -> None:
    """Draw line `number`."""
    colour = style.SERIES[number % len(style.SERIES)]
    look = {"linestyle": DASHES[number % len(DASHES)], "marker": MARKERS[number % len(MARKERS)], "markersize": 2.8}
    axis.plot(probes["step"], probes[column], color=colour, markeredgewidth=0, label=label, **look)


def _logarithmic(axis: Any) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=10))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
