"""What a run says of its cells while it makes them."""

from itertools import count
from pathlib import Path

import pytest

from prunegrid.experiment import grid
from prunegrid.plan import progress
from support.results_folder import an_experiment, finish, shared_files


def test_finished_cell_is_named_with_its_scores_and_its_place(tmp_path: Path) -> None:
    experiment = an_experiment()
    shared_files(tmp_path, experiment)
    first, second, *others = grid.cells(experiment)
    finish(tmp_path, first, 60.25, 40.0)
    run = progress.Progress(experiment, tmp_path, {(cell.model, cell.path) for cell in (second, *others)})
    finish(tmp_path, second, 80.0)
    assert run.finish(second.model, second.path) is None, "its second benchmark is still to come"
    finish(tmp_path, second, 80.0, 30.0)
    line = run.finish(second.model, second.path)
    assert line == f"[2/{len(others) + 2}] {second.variant} seed {second.seed}: A 80.0, B 30.0, Avg 55.0"


def test_time_left_is_what_is_planned_at_the_speed_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock shows 10 s more at every look. Of 100 planned seconds 60 are left, then 20."""
    planned = iter([100.0, 60.0, 20.0])
    monkeypatch.setattr(progress.Progress, "_seconds", lambda self: next(planned))
    monkeypatch.setattr(progress.time, "monotonic", map(float, count(0, 10)).__next__)
    monkeypatch.setattr(progress, "PLANNING", 0.25)
    run = progress.Progress(an_experiment(), tmp_path, ())
    assert run.left() == "15 s left", "40 of 100 done in 10 s: 60 take 15"
    assert [run.left(), run.left()] == ["", ""], "planning took 10 s, so it waits until 10 + 10 / 0.25 s"
    assert run.left() == "12 s left", "80 of 100 done in 50 s: 20 take 12.5"
