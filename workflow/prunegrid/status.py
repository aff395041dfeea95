"""How far a cell is, told from the files and logs that its steps left: failed, stale, or as its files say."""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple

from prunegrid import grid, io, pruners
from prunegrid.config import Experiment
from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell
from prunegrid.step import DONE


class Failure(NamedTuple):
    """The first step of a cell that began and did not end well, and its log."""

    rule: str
    log: Path


def failure(root: Path, cell: Cell) -> Failure | None:
    """The first step of the cell whose log exists and whose last line does not start with `done`.

    That line starts with `FAILED:` when the step raised; one that was killed, or still runs, leaves another.
    """
    for rule in _rules(cell):
        log = root / "logs" / rule / cell.model / f"{cell.path}.log"
        if log.exists() and not _ended_well(log):
            return Failure(rule, log)
    return None


def failures(experiment: Experiment, root: Path) -> dict[Cell, Failure]:
    """Every cell that has a `failure`, in the table's order."""
    found = {cell: failure(root, cell) for cell in grid.cells(experiment)}
    return {cell: failed for cell, failed in found.items() if failed}


def stale(experiment: Experiment, root: Path, cell: Cell) -> bool:
    """Whether the cell's base model, selection or training is gone, or was made with other settings.

    Then the evaluation that is still there belongs to a cell that no longer is.
    """
    found: list[Any] = [(root / "models" / f"{cell.model}.json").exists()]
    wanted: list[Any] = [True]
    if cell.budget:
        variant = experiment.variant(cell.variant)
        keys = ("method", "options", "nominal.samples", "nominal.tokens", "seeds.cell")
        found += values(root / "pruned" / cell.model / cell.path / "selection.json", *keys)
        wanted += [variant.method, pruners.filled(variant.method, variant.options)]
        wanted += [cell.budget.sample_ratio, cell.budget.token_ratio, cell.seed]
    if cell.trained:
        found += values(root / "trained" / cell.model / cell.path / "training.json", "training", "seed")
        wanted += [grid.training_of(experiment, cell).model_dump(mode="json"), cell.seed]
    return found != wanted


def values(path: Path, *keys: str) -> list[Any]:
    """The values of dotted keys in a JSON file, all None where there is no file."""
    if not path.exists():
        return [None] * len(keys)
    content = io.read_json(path)
    try:
        return [reduce(getitem, key.split("."), content) for key in keys]
    except (KeyError, TypeError):
        raise PrunegridError(f"{path}: lacks one of {', '.join(keys)}; {io.repair(path)}") from None


def _rules(cell: Cell) -> list[str]:
    wanted = {"prune": cell.pruned, "train": cell.trained, "evaluate": True}
    return [rule for rule, has in wanted.items() if has]


def _ended_well(log: Path) -> bool:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "").startswith(DONE)
