"""What status says to remove where Snakemake would say that there is nothing to be done."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from prunegrid.core import files
from prunegrid.experiment import config, grid
from prunegrid.status import Files, all_statuses
from prunegrid.status.text import remove_lines, report_lines
from support.finished_folder import PPL, RANDOM, edit_json, make_cell, write_finished

FULL = "m/full/seed0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_finished(home)
    return home


@pytest.fixture
def root(home: Path, tmp_path: Path) -> Path:
    shutil.copytree(home / "results/whole", tmp_path / "results/whole", symlinks=True)
    return tmp_path / "results/whole"


def swap(one: Path, other: Path) -> None:
    away = one.rename(one.with_name("away"))
    other.rename(one)
    away.rename(other)


def swap_selections(root: Path) -> None:
    """And train on them, as versions did that did not look."""
    swap(*(root / f"pruned/{cell}/selection.parquet" for cell in (RANDOM, PPL)))
    train_again(root)


def swap_folders(root: Path) -> None:
    swap(*(root / f"pruned/{cell}" for cell in (RANDOM, PPL)))


def swap_trainings(root: Path) -> None:
    swap(*(root / f"trained/{cell}" for cell in (RANDOM, PPL)))


def train_again(root: Path) -> None:
    experiment = config.load(files.read_json(root / "experiment.json"))
    for cell in filter(lambda cell: cell.pruned, grid.cells(experiment)):
        make_cell(root, experiment, cell, selected=True)


def edit_training(root: Path) -> None:
    edit(root / f"trained/{PPL}/training.json", trained_tokens=100)


def edit_full_training(root: Path) -> None:
    edit(root / f"trained/{FULL}/training.json", seconds=1.0)


def edit_selection(root: Path) -> None:
    edit(root / f"pruned/{PPL}/selection.json", realised_token_ratio=0.25)


def edit(path: Path, **changes: object) -> None:
    time = path.stat().st_mtime_ns
    edit_json(path, **changes)
    os.utime(path, ns=(time, time))


def selection(cell: str, *endings: str) -> set[str]:
    return {f"pruned/{cell}/selection.{ending}" for ending in endings}


CASES: list[tuple[Callable[[Path], None], set[str]]] = [
    (swap_selections, selection(RANDOM, "parquet") | selection(PPL, "parquet")),
    (swap_folders, selection(RANDOM, "parquet", "json") | selection(PPL, "parquet", "json")),
    (swap_trainings, {f"trained/{cell}/training.json" for cell in (RANDOM, PPL)}),
    (edit_training, {f"trained/{PPL}/training.json"}),
    (edit_full_training, {f"trained/{FULL}/training.json"}),
    (edit_selection, selection(PPL, "json")),
]


@pytest.mark.parametrize(("damage", "expected"), CASES, ids=[damage.__name__ for damage, _ in CASES])
def test_status_names_what_to_remove(damage: Callable[[Path], None], expected: set[str], root: Path) -> None:
    damage(root)
    experiment = config.load(files.read_json(root / "experiment.json"))
    statuses = all_statuses(experiment, Files(root))
    assert any(status.worst == "stale" for status in statuses.values())
    (title, command) = remove_lines(root, statuses)
    assert title.startswith("first delete")
    assert expected <= {name.removeprefix(f"{root}/") for name in command.split()[1:]}
    assert "stale" in list(report_lines(experiment, Files(root), statuses))


def test_a_finished_folder_has_nothing_to_remove(root: Path) -> None:
    experiment = config.load(files.read_json(root / "experiment.json"))
    statuses = all_statuses(experiment, Files(root))
    assert {status.worst for status in statuses.values()} == {"done"}
    assert list(remove_lines(root, statuses)) == []


def test_a_summary_that_another_version_wrote_anew_asks_no_training(root: Path) -> None:
    """The selection is the same, and so are its numbers; only a changed selection trains again."""
    path = root / f"pruned/{PPL}/selection.json"
    edit(path, version="99.0")
    experiment = config.load(files.read_json(root / "experiment.json"))
    assert {status.worst for status in all_statuses(experiment, Files(root)).values()} == {"done"}
    edit(path, selection="0" * 64)
    assert "stale" in {status.worst for status in all_statuses(experiment, Files(root)).values()}
