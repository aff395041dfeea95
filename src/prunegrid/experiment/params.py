"""The `params` of the rules of a cell: all that decides a step's files besides its inputs, and nothing else.

Snakemake runs a finished job again if its params are not those recorded. A new key must therefore be left out while it
has the value that results without it were made with (`section.added`).
"""

from typing import Any

from prunegrid import pruners
from prunegrid.core.versions import STEP
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import SHUFFLED
from prunegrid.pruners.columns import EXTRAS
from prunegrid.tasks.stock import StockTask


def benchmark_items(experiment: Experiment, name: str) -> dict[str, Any]:
    """What decides the file of a benchmark's items: its data and examples; of lm-eval's own task all settings."""
    benchmark = experiment.evaluation.benchmarks[name]
    if isinstance(experiment.evaluation.find_task(name), StockTask):
        return {"benchmark": benchmark.model_dump(mode="json")}
    data = benchmark.data.model_dump(mode="json")
    if benchmark.examples is None:
        return data
    return {"data": data, **benchmark.model_dump(mode="json", include={"examples"})}


def imported_column(experiment: Experiment, column: str) -> dict[str, Any]:
    """What decides an imported column, besides its file: not the text that says who made it."""
    return experiment.scores[column].model_dump(mode="json", exclude={"file", "source"})


def pruning(experiment: Experiment, cell: Cell) -> dict[str, Any]:
    """What decides a static cell's selection, besides the scores."""
    return {**grid.pruning_of(experiment, cell).model_dump(), "seed": cell.seed}


def pruning_in_training(experiment: Experiment, cell: Cell) -> dict[str, Any] | None:
    """What prunes a dynamic cell's mini-batches; None for other cells."""
    return grid.pruning_of(experiment, cell).model_dump() if grid.dynamic(experiment, cell) else None


def foreign_versions(experiment: Experiment, cell: Cell) -> dict[str, int]:
    """Versions of the cell's pruners from outside this package, called ones too: the step's version covers none."""
    variant = experiment.variant(cell.variant)
    members = pruners.all_pruners(variant.method, variant.options)
    return {pruner.name: pruner.version for pruner in members if pruner.foreign}


def training(experiment: Experiment, cell: Cell) -> dict[str, Any]:
    return grid.training_of(experiment, cell).model_dump(mode="json")


def training_versions(experiment: Experiment, cell: Cell) -> dict[str, Any]:
    """Versions of the steps whose code makes the model: a dynamic cell is scored and pruned in its training."""
    if not grid.dynamic(experiment, cell):
        return {"train": STEP["train"]}
    extra = ("extra",) if grid.pruning_of(experiment, cell).columns & set(EXTRAS) else ()
    versions = {name: STEP[name] for name in ("train", "score", "prune", *extra)}
    return {**versions, **foreign_versions(experiment, cell)}


def seed(experiment: Experiment, cell: Cell) -> int | None:
    return cell.seed


def shuffled(experiment: Experiment, cell: Cell) -> bool:
    """Whether each prompt gets another sample's response, as a negative control."""
    return cell.variant == SHUFFLED
