"""Draw an experiment's figures into `figures/<model>/`, as SVG and PNG: `prunegrid figures results/<experiment>`.

The workflow's rule `figures` runs this, too. It draws what exists: a figure of failed cells says what is missing.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.figures import bars, curves, eu_plane, heat_map, names, pareto, style, tokens, waterfall
from prunegrid.figures.model_results import ModelResults, NothingToShow
from prunegrid.results import collect
from prunegrid.statistics.deltas import read as read_deltas
from prunegrid.table import cost_columns
from prunegrid.table.document import Unit

Plot = Callable[[ModelResults], Figure]
KINDS: dict[str, Plot] = {
    "eu-plane": eu_plane.draw,
    "heat-map": heat_map.draw,
    "pareto": pareto.draw,
    "curves": curves.draw,
    "tokens": tokens.draw,
}


def draw_all(directory: Path, deltas: pd.DataFrame | None) -> list[Path]:
    """Write all figures of the results folder `directory`; return their files.

    `deltas` is the frame of `prunegrid.statistics.deltas`, or None. Raises `PrunegridError` for a
    folder without `experiment.json` or `results.parquet`, and for a damaged file.
    """
    experiment = collect.read_folder(directory)
    frame = collect.read(directory / layout.RESULTS)
    unit = cost_columns.cost_unit(frame)
    models = [_source(directory, experiment, model, frame, deltas, unit) for model in experiment.models]
    return [path for results in models for path in _draw_model(results)]


def draw_folder(directory: Path) -> list[Path]:
    """`draw_all` with the folder's own deltas; `PrunegridError` if `prunegrid table` has not been run there."""
    collect.read_folder(directory)
    for name in (layout.RESULTS, layout.DELTAS):
        if not (directory / name).exists():
            raise PrunegridError(directory, f"no {name} there", f"write it with `prunegrid table {directory}`")
    return draw_all(directory, read_deltas(directory / layout.DELTAS))


def plots(experiment: Experiment) -> dict[str, Plot]:
    """The function that draws each of a model's figures, by name."""
    budgets = experiment.grid_budgets
    by_budget = {names.bars_name(budget): partial(bars.draw, budget=budget) for budget in budgets}
    by_budget |= {names.waterfall_name(budget): partial(waterfall.draw, budget=budget) for budget in budgets}
    return {name: by_budget.get(name) or KINDS[kind] for name, kind in names.figures(experiment).items()}


def _source(
    root: Path, experiment: Experiment, model: str, frame: pd.DataFrame, deltas: pd.DataFrame | None, unit: Unit
) -> ModelResults:
    rows = None if deltas is None else deltas[deltas["model"] == model]
    return ModelResults(root, experiment, model, frame[frame["model"] == model], rows, unit)


def _draw_model(results: ModelResults) -> list[Path]:
    folder, paths = results.root / layout.FIGURES / results.model, []
    for name, draw in plots(results.experiment).items():
        with style.styled():
            paths += style.save(_drawn(draw, results), folder, name)
    return paths


def _drawn(draw: Plot, results: ModelResults) -> Figure:
    try:
        return draw(results)
    except NothingToShow as reason:
        return style.nothing(str(reason))
