"""Cells that were not evaluated alike are refused in one table; what the error says to do makes one."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import files, versions
from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation import fingerprint
from prunegrid.experiment import grid
from prunegrid.results import collect
from prunegrid.tasks.catalog import find_task
from support.results_folder import ITEMS, an_experiment, finish, shared_files

INSTALLED = {"lm_eval": "0.4.13", "transformers": "5", "torch": "2.13.0", "peft": "0.21", "datasets": "5"}
CELLS = [cell.path for cell in grid.cells(an_experiment())]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine cells of two benchmarks, all as an evaluation would write them now."""
    monkeypatch.setattr(fingerprint, "version", INSTALLED.__getitem__)
    shared_files(tmp_path, an_experiment())
    for cell in grid.cells(an_experiment()):
        finish(tmp_path, cell, 30, 40)
    evaluate(tmp_path, CELLS)
    return tmp_path


def change(root: Path, cell: str, benchmark: str = "A", **values: Any) -> None:
    path = root / "evaluation/m" / cell / f"{benchmark}.json"
    files.write_json(path, files.read_json(path) | values)


def evaluate(root: Path, cells: Iterable[str], names: Iterable[str] = ITEMS) -> None:
    """Stands in for the step, of which only what it says is wanted."""
    for cell in cells:
        for name in names:
            change(root, cell, name, **fingerprint.code_fingerprint(find_task("harness", "arc_easy")), data_hash=name)


def refused(root: Path, match: str = "not evaluated in the same way") -> str:
    with pytest.raises(PrunegridError, match=match) as caught:
        collect.collect(an_experiment(), root)
    return str(caught.value)


def named(message: str) -> list[Path]:
    """The files that the error says to remove."""
    actual = re.search(r": rm (.*), then run the workflow$", message)
    assert actual, message
    return [Path(text) for text in actual[1].split(" ")]


def follow(root: Path, message: str) -> list[str]:
    """Do what the error says; the cells that are evaluated again. A job makes all benchmarks of its cell anew."""
    cells = list(dict.fromkeys(str(path.parent.relative_to(root / "evaluation/m")) for path in named(message)))
    evaluate(root, cells)
    return cells


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"versions": INSTALLED | {"lm_eval": "0.4.12"}},
            r'version of lm_eval is "0\.4\.13" in .*; "0\.4\.12" in m/full/seed1; re-evaluation would record "0\.4',
        ),
        (
            {"versions": {name: number for name, number in INSTALLED.items() if name != "peft"}},
            r'version of peft is "0\.21" in .*; null in m/full/seed1;',
        ),
        ({"task_hash": "other"}, r'A: task_hash is .* in m/zero-shot.* and 5 more cells; "other" in m/full/seed1;'),
        ({"step": 1}, "A: step is 2 in .*; 1 in m/full/seed1; re-evaluation would record 2"),
        ({"data_hash": "other"}, r'A: data_hash is "A" in .*; "other" in m/full/seed1; re-evaluate '),
        ({"digests": {"model": "m", "template": "q"}}, "m: digest of the template"),
    ],
)
def test_unlike_cells_are_refused_and_named(root: Path, values: dict[str, Any], message: str) -> None:
    assert set(collect.collect(an_experiment(), root)["status"]) == {"done"}
    change(root, "full/seed1", **values)
    assert named(refused(root, message)) == [root / "evaluation/m/full/seed1/A.json"]


@pytest.mark.parametrize("fewer", [["full/seed1"], CELLS[1:]])
def test_who_is_behind_is_evaluated_again_be_it_few_or_most(root: Path, fewer: list[str]) -> None:
    for cell in fewer:
        change(root, cell, versions=INSTALLED | {"torch": "2.12.0"})
    message = refused(root)
    assert named(message) == [root / "evaluation/m" / cell / "A.json" for cell in fewer]
    assert follow(root, message) == fewer
    assert set(collect.collect(an_experiment(), root)["status"]) == {"done"}


def test_what_is_evaluated_again_must_find_the_others_of_now(root: Path) -> None:
    """All are of an older torch, one has other items, and one another lm_eval: that one would come back with 2.13."""
    for cell in CELLS:
        change(root, cell, versions=INSTALLED | {"torch": "2.12.0"})
        change(root, cell, "B", versions=INSTALLED | {"torch": "2.12.0"})
    assert set(collect.collect(an_experiment(), root)["status"]) == {"done"}, "of another time, but alike"
    change(root, CELLS[0], data_hash="other")
    assert follow(root, refused(root)) == CELLS
    assert set(collect.collect(an_experiment(), root)["status"]) == {"done"}


def test_more_files_than_can_be_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine cells of A and B, and a new version of the step that zero-shot has seen already."""
    monkeypatch.setitem(versions.STEP, "evaluate", versions.STEP["evaluate"] + 1)
    evaluate(root, ["zero-shot"])
    assert len(named(refused(root))) == 16
    monkeypatch.setattr("prunegrid.results.comparability.NAMED", 15)
    assert refused(root).endswith(
        " and 5 more cells: run the workflow with --forcerun evaluate, which reruns only outdated evaluations"
    )


def test_where_now_does_not_tell_the_rarer_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is made where lm-eval is not installed."""

    def version_without_lm_eval(package: str) -> str:
        if package == "lm_eval":
            raise fingerprint.PackageNotFoundError
        return INSTALLED[package]

    monkeypatch.setattr(fingerprint, "version", version_without_lm_eval)
    change(root, "zero-shot", versions=INSTALLED | {"lm_eval": "0.4.14"})
    message = refused(root)
    assert named(message) == [root / "evaluation/m/zero-shot/A.json"]
    assert "would record" not in message


@pytest.mark.parametrize("values", [{"limit": 10}, {"protocol": "paper"}])
def test_a_cell_that_is_not_shown_is_not_compared(root: Path, values: dict[str, Any]) -> None:
    """What the config tells apart (a limit, the other protocol) is stale: the table shows it as such, and the rest."""
    change(root, "full/seed1", task_hash="other", **values)
    frame = collect.collect(an_experiment(), root)
    assert set(frame.loc[frame["status"] == "stale", "variant"]) == {"full"}


def test_benchmarks_have_tasks_and_data_of_their_own(root: Path) -> None:
    for cell in grid.cells(an_experiment()):
        change(root, cell.path, task_hash="another", data_hash="another")
    assert set(collect.collect(an_experiment(), root)["status"]) == {"done"}
