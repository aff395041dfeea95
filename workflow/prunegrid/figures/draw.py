"""Draw an experiment's figures into `figures/<model>/`, as SVG and PNG: `prunegrid figures results/<experiment>`.

The workflow's rule `figures` runs this too. It reads what is there: a figure of failed cells says what is missing.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from prunegrid import results
from prunegrid.config import Experiment
from prunegrid.figures import bars, curves, eu_plane, heat_map, names, pareto, style, tokens
from prunegrid.figures.source import NothingToShow, Source

Draw = Callable[[Source], Figure]
KINDS: dict[str, Draw] = {
    "eu-plane": eu_plane.draw,
    "heat-map": heat_map.draw,
    "pareto": pareto.draw,
    "curves": curves.draw,
    "tokens": tokens.draw,
}


def draw_all(directory: Path, deltas: pd.DataFrame | None) -> list[Path]:
    """Write all figures of the results folder `directory`; return their files.

    `deltas` is the frame of `prunegrid.statistics.deltas`, None where there is none. Raises `PrunegridError` for a
    folder without `experiment.json` or `results.parquet`, and for a damaged file.
    """
    experiment = results.experiment_of(directory)
    frame = results.read(directory / "results.parquet")
    return [path for model in experiment.models for path in _of_model(directory, experiment, model, frame, deltas)]


def drawings(experiment: Experiment) -> dict[str, Draw]:
    """What draws each of a model's figures, by name."""
    of_budgets = {names.bars(budget): partial(bars.draw, budget=budget) for budget in experiment.grid_budgets}
    return {name: of_budgets.get(name) or KINDS[kind] for name, kind in names.figures(experiment).items()}


def _of_model(
    root: Path, experiment: Experiment, model: str, frame: pd.DataFrame, deltas: pd.DataFrame | None
) -> list[Path]:
    own = None if deltas is None else deltas[deltas["model"] == model]
    source = Source(root, experiment, model, frame[frame["model"] == model], own)
    folder, paths = root / "figures" / model, []
    for name, draw in drawings(experiment).items():
        with style.styled():
            paths += style.save(_drawn(draw, source), folder, name)
    return paths


def _drawn(draw: Draw, source: Source) -> Figure:
    try:
        return draw(source)
    except NothingToShow as reason:
        return style.nothing(str(reason))
