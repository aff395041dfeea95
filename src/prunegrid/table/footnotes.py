"""The footnotes of a table: for cells without scores, the step that failed and its log."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from prunegrid.experiment.grid import Cell
from prunegrid.status import FailedStep
from prunegrid.table.document import budget_of

Failures = Mapping[Cell, FailedStep]
Failed = list[tuple[Cell, FailedStep]]
Marks = dict[tuple[Any, ...], tuple[int, ...]]


def failures_to_explain(frame: pd.DataFrame, failures: Failures) -> Failed:
    """The failures of cells without scores; a cell that failed after it was done needs no explanation."""
    rows: Any = frame[frame["status"] == "failed"].itertuples()
    unscored = {(row.model, budget_of(row), row.variant, None if pd.isna(row.seed) else row.seed) for row in rows}
    places = {cell: (cell.model, cell.budget, cell.variant, cell.seed) for cell in failures}
    return [(cell, failure) for cell, failure in failures.items() if places[cell] in unscored]


def texts(failed: Failed) -> list[str]:
    """A footnote for each failed step: one step can fail many cells."""
    return [_text(failure, [cell for cell, other in failed if other == failure]) for failure in _distinct(failed)]


def marks(failed: Failed) -> Marks:
    """The footnotes' numbers by (budget, variant, model)."""
    numbers = {failure: number for number, failure in enumerate(_distinct(failed), start=1)}
    marks: Marks = {}
    for cell, failure in failed:
        place = (cell.budget, cell.variant, cell.model)
        marks[place] = (*marks.get(place, ()), numbers[failure])
    return marks


def _distinct(failed: Failed) -> list[FailedStep]:
    return list(dict.fromkeys(failure for _, failure in failed))


def _text(failure: FailedStep, cells: list[Cell]) -> str:
    place = f"{cells[0].model}, {cells[0].path}" if len(cells) == 1 else f"{len(cells)} cells"
    return f"{place}: {failure.rule} failed, see {failure.log}"
