"""Draw an experiment's figures into `figures/<model>/`, as SVG and PNG: `prunegrid figures results/<experiment>`.

The workflow's rule `figures` runs this too. It reads what is there: a figure of failed cells says what is missing.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.figures import bars, curves, eu_plane, heat_map, names, pareto, style, tokens
from prunegrid.figures.model_results import ModelResults, NothingToShow
from prunegrid.results import collect
from prunegrid.statistics import deltas
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


def draw_all(directory: Path, compared: pd.DataFrame | None) -> list[Path]:
    """Write all figures of the results folder `directory`; return their files.

    `compared` is the frame of `prunegrid.statistics.deltas`, None where there is none. Raises `PrunegridError` for a
    folder without `experiment.json` or `results.parquet`, and for a damaged file.
    """
    experiment = collect.experiment_of(directory)
    frame = collect.read(directory / layout.RESULTS)
    unit = cost_columns.cost_unit(frame)
    sources = [_source(directory, experiment, model, frame, compared, unit) for model in experiment.models]
    return [path for source in sources for path in _of_model(source)]


def draw_folder(directory: Path) -> list[Path]:
    """`draw_all` with the folder's own deltas; `PrunegridError` where `prunegrid table` has not been run there."""
    collect.experiment_of(directory)
    for name in (layout.RESULTS, layout.DELTAS):
        if not (directory / name).exists():
            raise PrunegridError(f"{directory}: no {name} there; write it with `prunegrid table {directory}`")
    return draw_all(directory, deltas.read(directory / layout.DELTAS))


def plots(experiment: Experiment) -> dict[str, Plot]:
    """What draws each of a model's figures, by name."""
    of_budgets = {names.bars_name(budget): partial(bars.draw, budget=budget) for budget in experiment.grid_budgets}
    return {name: of_budgets.get(name) or KINDS[kind] for name, kind in names.figures(experiment).items()}


def _source(
    root: Path, experiment: Experiment, model: str, frame: pd.DataFrame, compared: pd.DataFrame | None, unit: Unit
) -> ModelResults:
    own = None if compared is None else compared[compared["model"] == model]
    return ModelResults(root, experiment, model, frame[frame["model"] == model], own, unit)


def _of_model(source: ModelResults) -> list[Path]:
    folder, paths = source.root / layout.FIGURES / source.model, []
    for name, draw in plots(source.experiment).items():
        with style.styled():
            paths += style.save(_drawn(draw, source), folder, name)
    return paths


def _drawn(draw: Plot, source: ModelResults) -> Figure:
    try:
        return draw(source)
    except NothingToShow as reason:
        return style.nothing(str(reason))
