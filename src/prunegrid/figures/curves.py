"""How a model changes while it is trained and pruned: perplexity and entropy of fixed samples.

The paper's Figure 8 (arXiv 2509.23873), for every dynamic variant.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator

from prunegrid.figures import style
from prunegrid.figures.model_results import ModelResults, NothingToShow, count, heading
from prunegrid.figures.probes import SAMPLES, gap, probes, trained, variants

AXES = {"ppl": "Mean perplexity", "entropy": "Mean entropy (nats)"}
DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = "os^Dv<>PX"
RANGE: dict[str, Any] = {"facecolor": "0.8", "linewidth": 0, "label": "least to greatest of the seeds"}


def draw(results: ModelResults) -> Figure:
    """A row per budget; a line per dynamic variant, the mean over the seeds that are done, and their range."""
    names, budgets = variants(results), results.experiment.grid_budgets
    reports = {(budget, name): trained(results, budget, name) for budget in budgets for name in names}
    lines = {key: probes(group) for key, group in reports.items()}
    if all(part.empty for part in lines.values()):
        raise NothingToShow(f"{gap(reports.values())} of any dynamic cell")
    gaps = [gap(reports[budget, name] for budget in budgets) for name in names]
    handles: list[Any] = [_handle(results, names[n], n, missing) for n, missing in enumerate(gaps)]
    if any((part["seeds"] > 1).any() for part in lines.values()):
        handles.append(Patch(**RANGE))
    size = (style.PAGE, 2.1 * len(budgets) + 0.4 + 0.15 * -(-len(handles) // 3))
    figure = Figure(figsize=size, layout="constrained")
    seeds = max(len(group) for group in reports.values())
    n = min([SAMPLES, *(report.get("candidate_samples", SAMPLES) for group in reports.values() for report in group)])
    extent = f"{count(n, 'sample')} of the training set, {count(seeds, 'seed')}"
    style.title(figure, results.subject(budgets[0] if len(budgets) == 1 else None, extent))
    axes = figure.subplots(len(budgets), 2, squeeze=False, sharex=True)
    for row, budget in zip(axes, budgets, strict=True):
        for axis, (column, text) in zip(row, AXES.items(), strict=True):
            for number, name in enumerate(names):
                _line(axis, lines[budget, name], column, _look(results, name, number))
            axis.set_ylabel(text)
            axis.margins(x=0.03)
        _logarithmic(row[0])
        if len(budgets) > 1:
            row[0].set_title(heading(budget), fontsize=style.SMALL, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("Optimizer step")
    style.legend(figure, handles)
    return figure


def _look(results: ModelResults, name: str, number: int) -> dict[str, Any]:
    """Line `number`: its colour, dashes and marker; Q-Tuning's are wide."""
    look: dict[str, Any] = {"color": style.SERIES[number % len(style.SERIES)], "markeredgewidth": 0}
    look |= {"linestyle": DASHES[number % len(DASHES)], "marker": MARKERS[number % len(MARKERS)]}
    return look | ({"linewidth": 1.8, "markersize": 4.0} if results.is_qtuning(name) else {"markersize": 2.8})


def _handle(results: ModelResults, name: str, number: int, missing: str) -> Line2D:
    text = f"{results.label(name)} ({missing})" if missing else results.label(name)
    return Line2D([], [], label=style.wrapped(text, 1.7), **_look(results, name, number))


def _line(axis: Any, line: pd.DataFrame, column: str, look: dict[str, Any]) -> None:
    """The mean, and behind it the range over seeds where there are several."""
    axis.plot(line["step"], line[column], **look)
    if (line["seeds"] > 1).any():
        ends = line[f"{column}_min"], line[f"{column}_max"]
        axis.fill_between(line["step"], *ends, color=look["color"], alpha=0.15, linewidth=0)


def _logarithmic(axis: Any) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=10))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
