"""The status of every cell and benchmark."""

import math
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from prunegrid.core import files as core_files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.status import steps
from prunegrid.status.folder import Files
from prunegrid.status.reasons import Reason, cell_reasons, score_reasons, weights_reasons
from prunegrid.status.steps import FailedStep, Running

SEVERITY = ("done", "stale", "running", "missing", "failed")


class Status(NamedTuple):
    """`done`, `failed`, `running`, `missing` or `stale` by benchmark, and why.

    `reasons`: why evaluations are stale or the cell must be trained again. `awaits`: if an evaluation is missing, the
    rule that runs next. `outdated`: whether the cell, evaluated or not, was made with other settings or inputs.
    """

    by_benchmark: dict[str, str]
    failure: FailedStep | None
    running: Running | None
    reasons: list[Reason]
    awaits: str
    outdated: bool

    @property
    def done(self) -> list[str]:
        """The benchmarks with a score that is valid."""
        return [name for name, word in self.by_benchmark.items() if word == "done"]

    @property
    def worst(self) -> str:
        """Of the benchmarks, and at least `stale` if anything must be made again, even if every score is valid."""
        return max([*self.by_benchmark.values(), "stale" if self.reasons else "done"], key=SEVERITY.index)


def cell_status(experiment: Experiment, files: Files, cell: Cell) -> Status:
    """The cell's status. A missing file is a status; a damaged one raises `PrunegridError`."""
    names = experiment.evaluation.benchmarks
    evaluated = [name for name in names if _is_evaluated(files, cell, name)]
    failure = steps.failure(experiment, files, cell)
    running = None if failure else steps.running(experiment, files, cell)
    reasons = cell_reasons(experiment, files, cell)
    if failure or running:
        status = "failed" if failure else "running"
        return Status(dict.fromkeys(names, status), failure, running, [], "", bool(reasons))
    by_score = {name: score_reasons(experiment, files, cell, name) for name in evaluated}
    statuses = dict.fromkeys(names, "missing")
    statuses |= {name: "stale" if reasons or by_score[name] else "done" for name in evaluated}
    all_done = all(statuses[name] == "done" for name in experiment.evaluation.asked)
    weights = [] if reasons else weights_reasons(experiment, files, cell, evaluate=not all_done)
    every = dict.fromkeys([*reasons, *chain.from_iterable(by_score.values()), *weights])
    awaits = steps.awaited(experiment, files, cell) if "missing" in statuses.values() else ""
    imports = steps.import_failures(experiment, files, cell)
    statuses |= dict.fromkeys(imports, "failed")
    return Status(
        statuses, next(iter(imports.values()), None), None, list(every) if evaluated else [], awaits, bool(reasons)
    )


def all_statuses(experiment: Experiment, files: Files) -> dict[Cell, Status]:
    """Every cell's status, in the table's order."""
    return {cell: cell_status(experiment, files, cell) for cell in grid.cells(experiment)}


def failures(experiment: Experiment, root: Path) -> dict[Cell, FailedStep]:
    """Every cell that has a `failure`, in the table's order."""
    files = Files(root)
    by_cell = {cell: _first_failure(experiment, files, cell) for cell in grid.cells(experiment)}
    return {cell: failure for cell, failure in by_cell.items() if failure}


def _first_failure(experiment: Experiment, files: Files, cell: Cell) -> FailedStep | None:
    imports = steps.import_failures(experiment, files, cell).values()
    return steps.failure(experiment, files, cell) or next(iter(imports), None)


def _is_evaluated(files: Files, cell: Cell, benchmark: str) -> bool:
    """Whether the score exists, with its answers; it must be a number."""
    record = layout.score(cell.name, benchmark)
    if not (files.exists(record) and files.exists(layout.answers(cell.name, benchmark))):
        return False
    _, _, score, _ = files.values(record, "protocol", "metric", "score", "n_items")
    if not (isinstance(score, int | float) and math.isfinite(score)):
        path = files.root / record
        raise PrunegridError(path, f"score is {score!r}, not a percentage", core_files.repair(path))
    return True
