"""Cells in a results folder that its config does not name any more, and how they are removed.

What cells share (models, scores, data) is never among them.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from prunegrid.core import locks
from prunegrid.core.errors import PrunegridError
from prunegrid.core.step import lock_path
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import ZERO_SHOT

FOLDERS = (layout.pruned, layout.trained, layout.evaluation)


def old_cells(experiment: Experiment, root: Path) -> list[str]:
    """The names of the cells that lie in the folder, but are not in the experiment."""
    known = {cell.name for cell in grid.cells(experiment)}
    return sorted({name for folder in FOLDERS for name in _cells_below(root / folder(""))} - known)


def cell_paths(root: Path, name: str) -> list[Path]:
    """What the cell has left: its folders, and its logs and benchmark files."""
    folders = [root / folder(name) for folder in FOLDERS]
    return [folder for folder in folders if folder.exists()] + [*_logs(root, name)]


def size(paths: list[Path]) -> int:
    """Bytes of these files and folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())


def remove(root: Path, name: str) -> None:
    """Remove the cell's files. Raises `PrunegridError` while one of its steps runs."""
    paths = cell_paths(root, name)
    for path in paths:
        if path.suffix == ".log" and locks.is_held(lock_path(path)):
            raise PrunegridError(path, "this step is running", "wait for it, or stop it")
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _cells_below(folder: Path) -> Iterator[str]:
    """The names of the cells with a folder there, `<model>/zero-shot` or `<model>/.../seed<k>`."""
    for path in folder.glob("*/**/"):
        name = path.relative_to(folder)
        is_cell = path.name.removeprefix("seed").isdecimal() and path.name.startswith("seed")
        if (is_cell and len(name.parts) in (3, 4)) or (path.name == ZERO_SHOT and len(name.parts) == 2):
            yield name.as_posix()


def _logs(root: Path, name: str) -> Iterator[Path]:
    for top, ending in (("logs", ".log"), ("benchmarks", ".jsonl")):
        yield from sorted(root.glob(f"{top}/*/{name}{ending}"))
