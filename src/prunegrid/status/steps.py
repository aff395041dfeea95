"""The steps that a cell needs, and which of them failed or runs, by logs and locks."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prunegrid.core import locks
from prunegrid.core.step import FAILED, lock_path
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.status.folder import Files, last_lines

RULES = {"benchmark": "benchmark_items"}  # of the folders of logs that have another name
KILLED = "killed without a last word"


class Failure(NamedTuple):
    """The first step of a cell that began and did not end well, and its log."""

    rule: str
    log: Path

    def told(self) -> tuple[str, list[str]]:
        """The step's last words, and the last two lines before them."""
        lines = last_lines(self.log)
        words = [place for place, line in enumerate(lines) if line.startswith(FAILED)]
        if not words:
            return KILLED, lines[-2:]
        said = " ".join(lines[words[-1] :]).removeprefix(FAILED).strip()
        return said, lines[max(0, words[-1] - 2) : words[-1]]


class Running(NamedTuple):
    """A step that runs, since when (seconds of the epoch), and who started it."""

    rule: str
    log: Path
    since: float
    by: str


def failure(experiment: Experiment, files: Files, cell: Cell) -> Failure | None:
    """The first step that the cell needs which began and neither ended well nor runs.

    Its log's last line starts with `FAILED:` when the step raised; one that was killed leaves another.
    """
    failed = next((log for log in _logs(experiment, files, cell) if files.state(log) == "failed"), None)
    return Failure(_rule(failed), files.root / "logs" / failed) if failed else None


def running(experiment: Experiment, files: Files, cell: Cell) -> Running | None:
    """The cell's own step that runs: what other cells need too makes none of them `running`."""
    return next((found for log in _own(experiment, cell) if (found := runs(files, log))), None)


def awaited(experiment: Experiment, files: Files, cell: Cell) -> str:
    """The rule that makes the first thing that the cell lacks."""
    at = f"{cell.model}/{cell.path}"
    made = [("model", f"models/{cell.model}.json")]
    if cell.trained:
        made += [("dataset", f"data/{experiment.dataset.name}.json"), ("score", f"scores/{cell.model}/meta.json")]
    if cell.pruned and not grid.dynamic(experiment, cell):
        made.append(("prune", f"pruned/{at}/selection.json"))
    if cell.trained:
        made += [("train", f"trained/{at}/training.json"), ("train", f"trained/{at}/model")]
    return next((rule for rule, file in made if not files.exists(file)), "evaluate")


def runs(files: Files, log: str) -> Running | None:
    """The step of `logs/<log>` if it runs."""
    if files.state(log) != "running":
        return None
    path = files.root / "logs" / log
    lock = lock_path(path)
    if not lock.exists():  # it has ended since
        return None
    return Running(_rule(log), path, lock.stat().st_mtime, locks.holder(lock))


def shared(experiment: Experiment, files: Files) -> list[Running]:
    """The steps that run and are not one cell's: models, data, scores."""
    own = {log for cell in grid.cells(experiment) for log in _own(experiment, cell)}
    needed = dict.fromkeys(log for cell in grid.cells(experiment) for log in _logs(experiment, files, cell))
    return [found for log in needed if log not in own and (found := runs(files, log))]


def _rule(log: str) -> str:
    folder = log.removesuffix(".log").partition("/")[0]
    return RULES.get(folder, folder)


def _logs(experiment: Experiment, files: Files, cell: Cell) -> Iterator[str]:
    """The logs of the steps that the cell needs, relative to `logs`, in their order."""
    if experiment.sandbox:
        yield "world.log"
    yield f"model/{cell.model}.log"
    if cell.trained:
        yield "dataset.log"
        yield from files.scoring(cell.model)
    yield from (f"benchmark/{name}.log" for name in experiment.evaluation.benchmarks)
    if cell.pruned:
        yield from _only_for_some(experiment, cell)
    yield from _own(experiment, cell)


def _own(experiment: Experiment, cell: Cell) -> list[str]:
    needs = {
        "prune": cell.pruned and not grid.dynamic(experiment, cell),
        "train": cell.trained,
        "evaluate": True,
    }
    return [f"{rule}/{cell.model}/{cell.path}.log" for rule, needed in needs.items() if needed]


def _only_for_some(experiment: Experiment, cell: Cell) -> Iterator[str]:
    """The logs of the steps that only some variants need: optional scores, the reference model, the matched cell."""
    extras = grid.extra_columns(experiment, cell)
    if "reference_nll" in extras:
        yield f"model/{cell.model}@reference.log"
    yield from (f"extra_score/{cell.model}/{name}.log" for name in extras)
    if matched := grid.matched_cell(experiment, cell):
        yield from _only_for_some(experiment, matched)
        yield f"prune/{cell.model}/{matched.path}.log"
