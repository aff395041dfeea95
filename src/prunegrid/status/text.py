"""What of an experiment is done, failed, running, missing or stale, and why, as text.

prunegrid status config.yaml
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from prunegrid.experiment import locate
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.status import SEVERITY, Files, Reason, Running, Status, all_statuses, running_shared

Told = dict[Cell, Status]
ON_A_CLUSTER = "  (on a Slurm cluster: snakemake --profile profiles/slurm --profile my-cluster.yaml ...)"


def show(named: Path) -> bool:
    """Print how far the experiment is that a config file or results folder holds; whether all of it is done."""
    experiment, root = locate.find(named)
    files = Files(root)
    told = all_statuses(experiment, files)
    print("\n".join(report_lines(experiment, files, told)))
    done = all(status.worst == "done" for status in told.values())
    if not done:
        print(f"\nwhat is not done runs with\n  {locate.command(named, experiment)}\n{ON_A_CLUSTER}")
    return done


def report_lines(experiment: Experiment, files: Files, told: Told) -> Iterator[str]:
    """The counts, then what there is to say of each status."""
    counts = Counter(status.worst for status in told.values())
    yield f"{files.root}: {len(told)} cells, {len(experiment.evaluation.benchmarks)} benchmarks each"
    yield from (f"  {status:8} {counts[status]:6}" for status in SEVERITY)
    sections = {
        "failed": _failed(told),
        "running": _running(told, running_shared(experiment, files)),
        "missing": _missing(told),
        "stale": _stale((cell, status.reasons) for cell, status in told.items()),
    }
    for title, section in sections.items():
        said = list(section)
        yield from ["", title, *said] if said else []


def stale_lines(experiment: Experiment, root: Path) -> list[str]:
    """Which finished cells are not what the experiment wants, and why; empty where all are."""
    told = all_statuses(experiment, Files(root))
    finished = {cell: status.reasons for cell, status in told.items() if status.reasons}
    if not finished:
        return []
    return [f"{_cells(finished)} finished, but not as this config wants (stale):", *_stale(finished.items())]


def _failed(told: Told) -> Iterator[str]:
    """Each failed step once, however many cells need it: its last words, its log, what the log says before them."""
    behind = _grouped((status.failure, cell) for cell, status in told.items() if status.failure)
    for failure, cells in behind.items():
        words, before = failure.message()
        yield f"  {failure.rule}, {_cells(cells)}: {words}"
        yield f"    {failure.log}"
        yield from (f"    | {line}" for line in before)


def _running(told: Told, of_many: list[Running]) -> Iterator[str]:
    own = [(f"{run.rule}, {_name(cell)}", run) for cell, status in told.items() if (run := status.running)]
    for what, run in [*((run.rule, run) for run in of_many), *own]:
        since = datetime.fromtimestamp(run.since).strftime("%Y-%m-%d %H:%M:%S")
        yield f"  {what}: since {since}, {run.by}"
        yield f"    {run.log}"


def _missing(told: Told) -> Iterator[str]:
    waits = Counter(status.waits for status in told.values() if status.worst == "missing")
    yield from (f"  {count} wait for {rule}" for rule, count in waits.items())


def _stale(reasons: Iterable[tuple[Cell, list[Reason]]]) -> Iterator[str]:
    """Each reason with its cells, that of most cells first."""
    behind = _grouped((reason, cell) for cell, own in reasons for reason in own)
    for reason, cells in sorted(behind.items(), key=lambda item: -len(item[1])):
        yield f"  {reason}: {_cells(cells)}"


def _grouped(pairs: Iterable[tuple[Any, Cell]]) -> dict[Any, list[Cell]]:
    found: dict[Any, list[Cell]] = {}
    for key, cell in pairs:
        found.setdefault(key, []).append(cell)
    return found


def _cells(cells: Iterable[Cell]) -> str:
    """The name of one cell, the number of several."""
    several = list(cells)
    return f"{len(several)} cells" if several[1:] else _name(several[0])


def _name(cell: Cell) -> str:
    return f"{cell.model}/{cell.path}"
