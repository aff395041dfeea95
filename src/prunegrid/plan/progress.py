"""What a run says of the cells that finish: their scores, how many are done, and the time that is left.

The time is what `plan` estimates for the jobs that remain, at the speed at which this run has done the others: that
covers a slower machine, jobs side by side, and the queue of a cluster.
"""

import time
from collections.abc import Collection
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.core.text import duration
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.plan.calibrate import calibrate
from prunegrid.plan.jobs import jobs, read_basis

SOON = 0.02  # of the work of a run: before that much is done, its speed is unknown
PLANNING = 0.02  # of a run's time, at most, goes into planning what is left: of a large grid that takes seconds


class Progress:
    """The cells of an experiment while a run makes them: `awaited`, by model and path, and those that are there."""

    def __init__(self, experiment: Experiment, root: Path, awaited: Collection[tuple[str, str]]) -> None:
        self.experiment, self.root = experiment, root
        self.cells = {(cell.model, cell.path): cell for cell in grid.cells(experiment)}
        self.finished = {cell for place, cell in self.cells.items() if place not in awaited}
        self.to_do = self._seconds()
        self.start = self.planned = self.next_plan = time.monotonic()
        self.estimate: float | None = None

    def finish(self, model: str, path: str) -> str | None:
        """The line about a cell that now has all of its scores; None if some are still to come."""
        cell = self.cells[model, path]
        if not self._is_evaluated(cell):
            return None
        self.finished.add(cell)
        count = f"{len(self.finished)}/{len(self.cells)}"
        return f"[{', '.join(filter(None, [count, self.left()]))}] {self._name(cell)}: {self._scores(cell)}"

    def left(self) -> str:
        """`6 min left`; empty at the end of a run, and before its speed is known."""
        if (now := time.monotonic()) >= self.next_plan:
            self.estimate, self.planned = self._estimate(now), now
            self.next_plan = now + (time.monotonic() - now) / PLANNING
        seconds = (self.estimate or 0) - (now - self.planned)
        return f"{duration(seconds)} left" if seconds > 0 else ""

    def _estimate(self, now: float) -> float | None:
        """The seconds that are left, at the speed of this run so far."""
        to_do = self._seconds()
        if not self.to_do or to_do is None or (done := self.to_do - to_do) < SOON * self.to_do:
            return None
        return (now - self.start) * to_do / done

    def _seconds(self) -> float | None:
        """What `plan` estimates for the jobs that are not done; None where it knows no size of the training set."""
        try:
            planned = jobs(read_basis(self.experiment, self.root))
        except PrunegridError:
            return None
        rates = calibrate(self.root, planned, self.experiment.device)
        return sum(rates.seconds(job) for job in planned if not job.done)

    def _is_evaluated(self, cell: Cell) -> bool:
        names = self.experiment.evaluation.benchmarks
        return all((self.root / layout.score(cell.name, name)).exists() for name in names)

    def _name(self, cell: Cell) -> str:
        """The variant, with what else tells the cell from the others of this experiment."""
        experiment = self.experiment
        budget = cell.budget.name if cell.budget and len(experiment.grid_budgets) > 1 else ""
        seed = f"seed {cell.seed}" if cell.seed is not None and len(experiment.seeds) > 1 else ""
        model = cell.model if len(experiment.models) > 1 else ""
        return " ".join(filter(None, [model, budget, cell.variant, seed]))

    def _scores(self, cell: Cell) -> str:
        """`ARC-E 69.0, GSM8K 18.0, Avg 43.5`; of many benchmarks Avg alone."""
        names = self.experiment.evaluation.benchmarks
        scores = {name: float(read_json(self.root / layout.score(cell.name, name))["score"]) for name in names}
        scores |= {AVERAGE: sum(scores.values()) / len(scores)}
        shown = scores if len(scores) <= 8 else {AVERAGE: scores[AVERAGE]}
        return ", ".join(f"{name} {score:.1f}" for name, score in shown.items())
