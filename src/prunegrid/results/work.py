"""The counted work of a cell, which no other job on the machine changes: tokens that went through the model.

A training reads its tokens forward and backward, which is three times a forward pass (Kaplan et al., arXiv 2001.08361,
section 2.1); scoring reads them forward. As in `costs`, cells share a scoring pass. A dynamic cell scores all
candidates in each epoch by itself.
"""

import math

from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.results import costs
from prunegrid.status import Files

TRAINING = 3


def token_passes(experiment: Experiment, files: Files) -> dict[Cell, float | None]:
    """Each trained cell's work in tokens read forward; null where a count is missing, as of an older version."""
    read = {cell: costs.passes(experiment, cell) for cell in grid.cells(experiment) if cell.trained}
    work: dict[Cell, float | None] = {}
    for cell, names in read.items():
        readers = [sum(cell.model == other.model and name in read[other] for other in read) for name in names]
        times = sum(1 / n for n in readers) + _epochs_scored(experiment, files, cell)
        scored = times * _number(files, layout.scores_meta(cell.model), "tokens") if times else 0.0
        total = TRAINING * _number(files, layout.training(cell.name), "forwarded_tokens") + scored
        work[cell] = None if math.isnan(total) else total
    return work


def _epochs_scored(experiment: Experiment, files: Files, cell: Cell) -> float:
    """How often a dynamic cell scores all candidates while it is trained."""
    if not cell.pruned or not grid.dynamic(experiment, cell):
        return 0.0
    read = grid.pruning_of(experiment, cell).columns - set(costs.COUNTED)
    return _number(files, layout.training(cell.name), "epochs") if read else 0.0


def _number(files: Files, name: str, key: str) -> float:
    value = files.value(name, key, absent=math.nan)
    return math.nan if value is None else float(value)
