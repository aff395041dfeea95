"""`prunegrid clean` and what `prunegrid status` says beside it."""

from dataclasses import replace
from pathlib import Path

import pytest

from prunegrid.cli import main
from prunegrid.experiment import grid
from support.results_folder import an_experiment, finish, put, shared_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder of a run with another seed before: `random+random`, seed 7, is not in the config."""
    root = tmp_path / "results/tiny"
    experiment = an_experiment()
    put(root / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(root, experiment)
    for cell in grid.cells(experiment):
        finish(root, cell, 10, 20)
    old = next(cell for cell in grid.cells(experiment) if cell.variant == "random+random")
    finish(root, replace(old, seed=7), 1, 2)
    return root


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_clean_lists_old_cells_and_removes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(folder)
    main(["clean", str(folder)])
    shown = capsys.readouterr().out
    assert "m/s0.125-t0.5/random+random/seed7" in shown
    assert "old cells: 1, " in shown and f"prunegrid clean {folder} --yes" in shown
    assert files(folder) == before


def test_clean_with_yes_removes_these_cells_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(folder)
    main(["clean", str(folder), "--yes"])
    gone = before - files(folder)
    assert gone and all("random+random/seed7" in str(path) for path in gone)
    assert gone == {path for path in before if "random+random/seed7" in str(path) and not path.name.startswith(".")}
    main(["clean", str(folder)])
    assert capsys.readouterr().out.endswith(f"{folder}: no old cells\n")


def test_status_names_old_cells_and_the_lock_of_a_killed_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder.parents[1] / ".snakemake/locks/0.output.lock", "results/tiny/experiment.json\n")
    (folder / "evaluation/m/zero-shot").rename(folder / "elsewhere")
    with pytest.raises(SystemExit):
        main(["status", str(folder)])
    shown = capsys.readouterr().out
    assert f"old cells, not in the config: 1 (list them with `prunegrid clean {folder}`)" in shown
    assert "--unlock" in shown.partition("to run the rest:")[0]
