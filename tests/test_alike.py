"""Cells that were not evaluated alike are refused in one table, and named."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid import grid, io, results
from prunegrid.errors import PrunegridError
from results_folder import an_experiment, finish, shared_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shared_files(tmp_path, an_experiment())
    for cell in grid.cells(an_experiment()):
        finish(tmp_path, cell, 30, 40)
    return tmp_path


def change(root: Path, cell: str, **values: Any) -> None:
    path = root / "evaluation/m" / cell / "A.json"
    io.write_json(path, io.read_json(path) | values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"versions": {"lm_eval": "0.4.12"}}, r'version of lm_eval is "0\.4\.13" in .*; "0\.4\.12" in m/full/seed1\.'),
        ({"task_hash": "other"}, r'A: task_hash is "t" in m/zero-shot.* and 5 more cells; "other" in m/full/seed1\.'),
        ({"data_hash": "other"}, "A: data_hash"),
        ({"digests": {"model": "m", "template": "q"}}, "m: digest of the template"),
    ],
)
def test_unlike_cells_are_refused_and_named(root: Path, values: dict[str, Any], said: str) -> None:
    assert set(results.collect(an_experiment(), root)["status"]) == {"done"}
    change(root, "full/seed1", **values)
    with pytest.raises(PrunegridError, match=said) as caught:
        results.collect(an_experiment(), root)
    assert f"rm {root}/evaluation/m/full/seed1/A.json, then run the workflow" in str(caught.value)


@pytest.mark.parametrize("values", [{"limit": 10}, {"protocol": "paper"}])
def test_a_cell_that_is_not_shown_is_not_compared(root: Path, values: dict[str, Any]) -> None:
    """What the config tells apart (a limit, the other protocol) is stale: the table shows it as such, and the rest."""
    change(root, "full/seed1", task_hash="other", **values)
    frame = results.collect(an_experiment(), root)
    assert set(frame.loc[frame["status"] == "stale", "variant"]) == {"full"}


def test_benchmarks_have_tasks_and_data_of_their_own(root: Path) -> None:
    for cell in grid.cells(an_experiment()):
        change(root, cell.path, task_hash="another", data_hash="another")
    assert set(results.collect(an_experiment(), root)["status"]) == {"done"}
