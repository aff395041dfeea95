"""Which step of a cell failed, runs or is awaited, by logs, locks and files."""

from pathlib import Path
from typing import NamedTuple

from prunegrid.core import locks
from prunegrid.core.step import FAILED, lock_path
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.step import Step
from prunegrid.experiment.steps import cell_steps, first_missing, import_steps, required_steps
from prunegrid.status.folder import Files, last_lines

KILLED = "killed without an error message"


class FailedStep(NamedTuple):
    """The first step of a cell that began and did not end well, and its log."""

    rule: str
    log: Path

    def message(self) -> tuple[str, list[str]]:
        """The error that the step reported, and the two log lines before it."""
        lines = last_lines(self.log)
        starts = [number for number, line in enumerate(lines) if line.startswith(FAILED)]
        if not starts:
            return KILLED, lines[-2:]
        error = " ".join(lines[starts[-1] :]).removeprefix(FAILED).strip()
        return error, lines[max(0, starts[-1] - 2) : starts[-1]]


class Running(NamedTuple):
    """A running step, when it started (seconds since the epoch), and the process that started it."""

    rule: str
    log: Path
    start: float
    owner: str


def failure(experiment: Experiment, files: Files, cell: Cell) -> FailedStep | None:
    """The first step that the cell needs which has begun, has not ended well and does not run.

    A step that raised an error writes `FAILED:` as the last line of its log; one that was killed does not.
    """
    for step in _logged_steps(experiment, files, cell):
        if files.state(step.log) == "failed":
            return FailedStep(_rule(step), files.root / step.log)
    return None


def import_failures(experiment: Experiment, files: Files, cell: Cell) -> dict[str, FailedStep]:
    """The imports of scores that began and did not end well, by benchmark."""
    steps = zip(experiment.evaluation.imported, import_steps(experiment, cell), strict=True)
    return {
        name: FailedStep(step.rule, files.root / step.log) for name, step in steps if files.state(step.log) == "failed"
    }


def running(experiment: Experiment, files: Files, cell: Cell) -> Running | None:
    """The cell's own step that is running. A shared step makes no cell `running`."""
    return next((run for step in cell_steps(experiment, cell) if (run := _run(files, step))), None)


def running_shared(experiment: Experiment, files: Files) -> list[Running]:
    """The running steps that belong to no single cell: models, data, scores."""
    cells = grid.cells(experiment)
    steps = {step.log: step for cell in cells for step in _logged_steps(experiment, files, cell)}
    return [run for step in steps.values() if step.cell is None and (run := _run(files, step))]


def awaited(experiment: Experiment, files: Files, cell: Cell) -> str:
    """The rule of the first step that has to run before the cell can be evaluated, or its scores be imported."""
    steps = required_steps(experiment, cell)
    if _exists(files, steps[-1]):
        steps = [*steps, next(step for step in import_steps(experiment, cell) if not _exists(files, step))]
    return _rule(first_missing(steps, files.exists))


def _exists(files: Files, step: Step) -> bool:
    return all(map(files.exists, step.lasting))


def _run(files: Files, step: Step) -> Running | None:
    if files.state(step.log) != "running":
        return None
    log = files.root / step.log
    lock = lock_path(log)
    if not lock.exists():  # the step has ended since
        return None
    return Running(_rule(step), log, lock.stat().st_mtime, locks.holder(lock))


def _rule(step: Step) -> str:
    """Static and dynamic cells are both reported as `train`."""
    return step.rule.removesuffix("_dynamic")


def _logged_steps(experiment: Experiment, files: Files, cell: Cell) -> list[Step]:
    """The steps that the cell needs, with the scoring pass in the shards that were run, not those of the config."""
    return [
        shard
        for step in required_steps(experiment, cell)
        if step.rule != "score"
        for shard in ([*files.shards(cell.model), step] if step.rule == "gather_scores" else [step])
    ]
