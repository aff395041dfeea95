"""Everything about a finished results folder that can be checked: `prunegrid verify results/<experiment>`.

Digests first, from the table down to the data, since what has changed there explains what differs later; then the
numbers of every column; then, if asked for, items anew.
"""

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from prunegrid.core.errors import PrunegridError, PrunegridErrors
from prunegrid.experiment import grid
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.status import Files, Status, all_statuses
from prunegrid.verification.chain import Walk
from prunegrid.verification.columns import CheckedColumns, check_columns
from prunegrid.verification.links import walk_folder
from prunegrid.verification.numbers import Verified, verify_table
from prunegrid.verification.recheck import Recheck, recheck_items


class Verification(NamedTuple):
    """What was checked; None is what could not be, and `problems` say why. `unfinished`: cells that are not done."""

    walk: Walk
    numbers: Verified | None
    columns: CheckedColumns | None
    recheck: Recheck | None
    unfinished: int
    problems: list[PrunegridError]


def verify(directory: Path, deep: bool = False, items: int = 0, seed: int = 0) -> Verification:
    """Check the folder; `deep` hashes large weights, too, `items` are asked anew: so many, drawn by `seed`.

    Raises `PrunegridError` only if it is no results folder.
    """
    experiment = collect.read_folder(directory)
    problems: list[PrunegridError] = []
    statuses = _attempt(problems, all_statuses, experiment, Files(directory))
    done, unfinished = _done_cells(statuses) if statuses else (set(grid.cells(experiment)), 0)
    walk = walk_folder(directory, experiment, done, deep)
    numbers = _attempt(problems, verify_table, directory)
    columns = _attempt(problems, check_columns, directory, experiment, numbers is not None)
    scores = [(cell, name) for cell, status in (statuses or {}).items() for name in status.done]
    recheck = _attempt(problems, recheck_items, directory, experiment, scores, items, seed) if items else None
    parts = (part.problems for part in (walk, columns, recheck) if part)
    unique = {str(problem): problem for problem in chain(*parts, problems)}
    return Verification(walk, numbers, columns, recheck, unfinished, list(unique.values()))


def _done_cells(statuses: dict[Cell, Status]) -> tuple[set[Cell], int]:
    """The cells with a score that is done, and how many lack one."""
    # Of a cell that is stale though Snakemake sees nothing, a file was changed: that is what is looked for.
    changed = {cell for cell, status in statuses.items() if any(reason.remove for reason in status.reasons)}
    partial = sum(len(status.done) < len(status.by_benchmark) for status in statuses.values())
    return {cell for cell, status in statuses.items() if status.done} | changed, partial


def _attempt(problems: list[PrunegridError], check: Any, *arguments: Any) -> Any:
    """What the check returns; None if it stops at a problem, which is added."""
    try:
        return check(*arguments)
    except PrunegridErrors as several:
        problems += several.errors
    except PrunegridError as error:
        problems.append(error)
    return None
