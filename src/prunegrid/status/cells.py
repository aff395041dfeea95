"""The status of every cell and benchmark, and what it follows from."""

import math
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from prunegrid.core import files as io
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.status import steps
from prunegrid.status.folder import Files
from prunegrid.status.reasons import Reason, reasons, score_reasons, weights_reasons
from prunegrid.status.steps import Failure, Running

SEVERITY = ("done", "stale", "running", "missing", "failed")


class Status(NamedTuple):
    """`done`, `failed`, `running`, `missing` or `stale` by benchmark, and why.

    `reasons`: why evaluations are stale, or their cell is trained again. `waits`: the rule whose output is lacking,
    where one is missing. `outdated`: whether what the cell is made of, evaluated or not, is not as the experiment
    wants it.
    """

    by_benchmark: dict[str, str]
    failure: Failure | None
    running: Running | None
    reasons: list[Reason]
    waits: str
    outdated: bool

    @property
    def worst(self) -> str:
        """Of the benchmarks; `stale` at least where something is to be made again though every score is good."""
        return max([*self.by_benchmark.values(), "stale" if self.reasons else "done"], key=SEVERITY.index)


def cell_status(experiment: Experiment, files: Files, cell: Cell) -> Status:
    """The cell's status. Raises `PrunegridError` for a damaged file; an absent one is a status."""
    names = experiment.evaluation.benchmarks
    records = {name: f"evaluation/{cell.model}/{cell.path}/{name}.json" for name in names}
    there = [name for name, record in records.items() if _complete(files, record)]
    failed = steps.failure(experiment, files, cell)
    runs = None if failed else steps.running(experiment, files, cell)
    of_all = reasons(experiment, files, cell)
    if failed or runs:
        word = "failed" if failed else "running"
        return Status(dict.fromkeys(names, word), failed, runs, [], "", bool(of_all))
    own = {name: score_reasons(experiment, files, records[name], name) for name in there}
    found = {name: ("stale" if of_all or own[name] else "done") if name in own else "missing" for name in names}
    again = [] if of_all else weights_reasons(experiment, files, cell, evaluate=set(found.values()) != {"done"})
    why = list(dict.fromkeys([*of_all, *chain.from_iterable(own.values()), *again])) if there else []
    waits = steps.awaited(experiment, files, cell) if "missing" in found.values() else ""
    return Status(found, None, None, why, waits, bool(of_all))


def all_statuses(experiment: Experiment, files: Files) -> dict[Cell, Status]:
    """Every cell's status, in the table's order."""
    return {cell: cell_status(experiment, files, cell) for cell in grid.cells(experiment)}


def failures(experiment: Experiment, root: Path) -> dict[Cell, Failure]:
    """Every cell that has a `failure`, in the table's order."""
    files = Files(root)
    found = {cell: steps.failure(experiment, files, cell) for cell in grid.cells(experiment)}
    return {cell: failed for cell, failed in found.items() if failed}


def _complete(files: Files, record: str) -> bool:
    """Whether an evaluation is there with its items. Its score is then a number."""
    if not (files.exists(record) and files.exists(record.removesuffix("json") + "parquet")):
        return False
    _, _, score, _ = files.values(record, "protocol", "metric", "score", "n_items")
    if not (isinstance(score, int | float) and math.isfinite(score)):
        path = files.root / record
        raise PrunegridError(f"{path}: score is {score!r}, not a number of percent; {io.repair(path)}")
    return True
