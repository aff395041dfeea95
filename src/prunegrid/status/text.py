"""How far an experiment is, as text: what is done, failed, running, missing or stale, and why.

prunegrid status config.yaml
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from prunegrid.experiment import locate
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.status import SEVERITY, Files, Reason, Running, Status, all_statuses, leftovers, running_shared

Statuses = dict[Cell, Status]
SLURM_HINT = "  (on a Slurm cluster: snakemake --profile profiles/slurm --profile my-cluster.yaml ...)"


def show(path: Path) -> bool:
    """Print the status of the experiment in a config file or results folder; return whether all of it is done."""
    experiment, root = locate.find(path)
    files = Files(root)
    statuses = all_statuses(experiment, files)
    print("\n".join(report_lines(experiment, files, statuses)))
    done = all(status.worst == "done" for status in statuses.values())
    if not done:
        line = locate.command(path, experiment)
        steps = [*remove_lines(root, statuses), *unlock_lines(root, line), f"to run the rest:\n  {line}"]
        print("\n".join(["", *steps]))
        print(SLURM_HINT)
    if names := leftovers.old_cells(experiment, root):
        print(f"\nold cells, not in the config: {len(names)} (list them with `prunegrid clean {path}`)")
    return done


def unlock_lines(root: Path, line: str) -> Iterator[str]:
    """The command that removes the lock of a run that was killed. An active run holds the same lock."""
    folder = root.resolve().parents[1] / ".snakemake" / "locks"
    if folder.is_dir() and any(folder.iterdir()):
        command, _, comment = line.partition("    (")
        yield "if no run is active in this folder (on any machine), remove the lock of the killed run:"
        yield f"  {command} --unlock" + (f"    ({comment}" if comment else "")


def remove_lines(root: Path, statuses: Statuses) -> Iterator[str]:
    """The command that removes what Snakemake takes for up to date, since its time is in order."""
    names = dict.fromkeys(name for status in statuses.values() for reason in status.reasons for name in reason.remove)
    if names:
        yield "first delete these files, which Snakemake would consider up to date:"
        yield f"  rm {' '.join(shlex.quote(str(root / name)) for name in names)}"


def report_lines(experiment: Experiment, files: Files, statuses: Statuses) -> Iterator[str]:
    """The number of cells by status, then the details of each status."""
    counts = Counter(status.worst for status in statuses.values())
    yield f"{files.root}: {len(statuses)} cells, {len(experiment.evaluation.benchmarks)} benchmarks each"
    yield from (f"  {status:8} {counts[status]:6}" for status in SEVERITY)
    sections = {
        "failed": _failed(statuses),
        "running": _running(statuses, running_shared(experiment, files)),
        "missing": _missing(statuses),
        "stale": _stale((cell, status.reasons) for cell, status in statuses.items()),
    }
    for title, section in sections.items():
        lines = list(section)
        yield from ["", title, *lines] if lines else []


def stale_lines(experiment: Experiment, root: Path) -> list[str]:
    """Which finished cells this config makes stale, and why; empty if there are none."""
    statuses = all_statuses(experiment, Files(root))
    stale = {cell: status.reasons for cell, status in statuses.items() if status.reasons}
    if not stale:
        return []
    lines = [f"finished, but stale under this config: {_cells(stale)}", *_stale(stale.items())]
    return [*lines, *remove_lines(root, statuses)]


def _failed(statuses: Statuses) -> Iterator[str]:
    """Each failed step once, however many cells need it: its error, its log, the log's lines before the error."""
    by_failure = _grouped((status.failure, cell) for cell, status in statuses.items() if status.failure)
    for failure, cells in by_failure.items():
        error, context = failure.message()
        yield f"  {failure.rule}, {_cells(cells)}: {error}"
        yield f"    {failure.log}"
        yield from (f"    | {line}" for line in context)


def _running(statuses: Statuses, shared: list[Running]) -> Iterator[str]:
    cells = [(f"{run.rule}, {cell.name}", run) for cell, status in statuses.items() if (run := status.running)]
    for step, run in [*((run.rule, run) for run in shared), *cells]:
        start = datetime.fromtimestamp(run.start).strftime("%Y-%m-%d %H:%M:%S")
        yield f"  {step}: since {start}, {run.owner}"
        yield f"    {run.log}"


def _missing(statuses: Statuses) -> Iterator[str]:
    rules = Counter(status.awaits for status in statuses.values() if status.worst == "missing")
    yield from (f"  {count} waiting for {rule}" for rule, count in rules.items())


def _stale(reasons: Iterable[tuple[Cell, list[Reason]]]) -> Iterator[str]:
    """Each reason with its cells, the most frequent first."""
    by_reason = _grouped((reason, cell) for cell, several in reasons for reason in several)
    for reason, cells in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        yield f"  {reason}: {_cells(cells)}"


def _grouped(pairs: Iterable[tuple[Any, Cell]]) -> dict[Any, list[Cell]]:
    groups: dict[Any, list[Cell]] = {}
    for key, cell in pairs:
        groups.setdefault(key, []).append(cell)
    return groups


def _cells(cells: Iterable[Cell]) -> str:
    """The name of a single cell, the number of several."""
    names = [cell.name for cell in cells]
    return f"{len(names)} cells" if len(names) > 1 else names[0]
