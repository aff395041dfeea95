"""Where the scores of benchmarks of the kind `imported` are: a file from outside for each cell."""

from collections import Counter

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell


def scores_file(experiment: Experiment, cell: Cell, benchmark: str) -> str:
    """The cell's file: the benchmark's pattern `scores`, filled in."""
    return str(experiment.evaluation.benchmarks[benchmark].scores).format(
        model=cell.model,
        cell=cell.path,
        budget=cell.budget.name if cell.budget else "",
        variant=cell.variant,
        seed="" if cell.seed is None else cell.seed,
        benchmark=benchmark,
    )


def check_patterns(experiment: Experiment) -> None:
    """Raise a `PrunegridError` if two cells would get the same file."""
    for name in experiment.evaluation.imported:
        files = Counter(scores_file(experiment, cell, name) for cell in grid.cells(experiment))
        if shared := [file for file, count in files.items() if count > 1]:
            problem = f"gives {files[shared[0]]} cells the file {shared[0]}"
            fix = "write the pattern with {model} and {cell}, or with {model}, {budget}, {variant} and {seed}"
            raise PrunegridError(f"evaluation.benchmarks.{name}.scores", problem, fix)
