"""The files that only some jobs read, such as a cell's optional scores: inputs of the rules, and what `steps` need.

Paths are relative to the results folder (`layout`).
"""

from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.score_file import reads_data
from prunegrid.pruners.columns import EXTRAS, complete_extras
from prunegrid.sandbox.data_sets import OPTIONAL_SETS


def world_file(ref: DataRef) -> str:
    """Where the sandbox's world holds a data set of the hub."""
    return f"{layout.WORLD}/{ref.mirror_name}.jsonl"


def world_files(experiment: Experiment) -> list[str]:
    """What the experiment reads of the sandbox's usual data sets."""
    names = {ref.mirror_name for ref in experiment.data_sets if ref.hub}
    return sorted(f"{layout.WORLD}/{name}.jsonl" for name in names.difference(OPTIONAL_SETS))


def optional_sets(experiment: Experiment) -> list[str]:
    """The data sets that the sandbox writes only because the section `query` or `scores` reads them."""
    if experiment.sandbox is None:
        return []
    refs = {ref.mirror_name for ref in experiment.data_sets if ref.hub}
    given = {score.file for score in experiment.scores.values()}
    files = {name: f"{experiment.results}/{layout.WORLD}/{name}.jsonl" for name in OPTIONAL_SETS}
    return [name for name, file in files.items() if name in refs or file in given]


def reference_name(model: str) -> str:
    """The name of the reference model of a base model, or of one of the audit's replicas, which share it."""
    return f"{model.partition('@')[0]}@reference"


def extra_columns(experiment: Experiment, model: str) -> list[str]:
    """The optional scores that the model's cells read and a rule of their own makes."""
    cells = [cell for cell in grid.cells(experiment) if cell.model == model and cell.pruned]
    names = {name for cell in cells for name in grid.extra_columns(experiment, cell)} & set(EXTRAS)
    return [name for name in complete_extras(names) if name not in experiment.scoring.extra]


def imported_columns(experiment: Experiment, model: str) -> list[str]:
    """The columns of the section `scores` that the model's cells read."""
    cells = [cell for cell in grid.cells(experiment) if cell.model == model and cell.pruned]
    return sorted({name for cell in cells for name in grid.extra_columns(experiment, cell)} & set(experiment.scores))


def imported_data(experiment: Experiment, column: str) -> str | None:
    """The training set, where it tells whose the imported scores are."""
    return layout.dataset(experiment.dataset.name) if reads_data(experiment.scores[column]) else None


def score_file(experiment: Experiment, model: str, column: str) -> str:
    """The file of an imported column; a `PrunegridError` if it is not there and no rule makes it."""
    path = experiment.scores[column].path(model)
    if not Path(path).is_file() and path not in _drawn_files(experiment):
        meta = f"{experiment.results}/{layout.scores_meta(model)}"
        fix = f"write it, or correct the path; what it may need is scored first with {meta} as the target"
        raise PrunegridError(f"scores.{column}.file", f"{path} is not a file", fix)
    return path


def drawn_scores(experiment: Experiment, column: str) -> str | None:
    """The file of an imported column within the results folder, if the sandbox writes it."""
    file = experiment.scores[column].file
    return file.removeprefix(f"{experiment.results}/") if file in _drawn_files(experiment) else None


def _drawn_files(experiment: Experiment) -> set[str]:
    return {f"{experiment.results}/{layout.WORLD}/{name}.jsonl" for name in optional_sets(experiment)}


def extra_inputs(experiment: Experiment, cell: Cell) -> dict[str, str]:
    """The files of the optional scores that the cell's pruners read, by column."""
    return {name: layout.extra_score(cell.model, name) for name in grid.extra_columns(experiment, cell)}


def match_input(experiment: Experiment, cell: Cell) -> str | None:
    """The summary of the selection whose realised counts the cell's meets, if it is matched to another."""
    matched = grid.matched_cell(experiment, cell)
    return grid.selection_summary(experiment, matched) if matched else None


def selection_files(experiment: Experiment, cell: Cell) -> list[str]:
    """What a static cell is trained on; none for the full data set, or if mini-batches are pruned in training.

    Of a selection in parts, also its summary, which a job of its own writes.
    """
    if not cell.pruned or grid.dynamic(experiment, cell):
        return []
    shards = experiment.pruning.shards
    summary = [grid.selection_summary(experiment, cell)] if shards > 1 else []
    return [*layout.selection(cell.name, shards), *summary]


def weights_input(experiment: Experiment, cell: Cell) -> str | None:
    """The fine-tuned model that is evaluated; none for zero-shot."""
    return layout.weights(cell.name) if cell.trained else None


def training_input(experiment: Experiment, cell: Cell) -> str | None:
    return layout.training(cell.name) if cell.trained else None


def check_own_scores(experiment: Experiment, cell: Cell, root: Path) -> None:
    """Raise a `PrunegridError` if the cell's pruners read a score that no rule makes and the user has not written."""
    for column, file in extra_inputs(experiment, cell).items():
        if column not in (*EXTRAS, *experiment.scores) and not (root / file).exists():
            raise PrunegridError(
                cell.name,
                f"a pruner reads the column {column}, which no rule makes",
                f"score first ({root}/{layout.scores_meta(cell.model)} as the target), then write {root / file}, "
                f"or import a file by the section scores: {{{column}: FILE}}",
            )
