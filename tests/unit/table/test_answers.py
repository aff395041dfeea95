"""The answers to the contrasts of a config below the table, in every format, and when they were stated."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid.core.files import read_json
from prunegrid.experiment import grid, statement
from prunegrid.table import build
from prunegrid.table.answers import line
from prunegrid.table.document import Answer
from support.results_folder import an_experiment, finish
from support.table_frames import seeded

FOUND = Answer(
    "helps", "q0 against full", 3, -5.249, -7.986, -2.513, 0.00056, 0.0011, 2, True, "before any cell was evaluated"
)
OPEN = Answer("later", "q1 against full", 0, remark="not noted when")


def test_answer_has_a_mark_and_an_open_one_no_number() -> None:
    assert line(FOUND) == [
        "helps",
        "q0 against full",
        "↓5.25*",
        "-7.99 to -2.51, items and seeds",
        "0.00056",
        "0.0011",
        "before any cell was evaluated",
    ]
    assert line(OPEN) == ["later", "q1 against full", "not computed yet", "", "", "", "not noted when"]


def test_one_seed_has_item_noise_and_no_test() -> None:
    cells = line(Answer("helps", "q0 against full", 1, 2.0, 1.0, 3.0))
    assert cells[2:6] == ["↑2.00", "+1.00 to +3.00, item noise only", "not tested", "not tested"]


@pytest.mark.parametrize("ending", sorted({*build.FORMATS} - {"csv"}))
def test_answers_stand_in_every_format_for_readers(ending: str) -> None:
    page = build.FORMATS[ending](seeded(answers=(FOUND, OPEN)))
    assert "q0 against full" in page
    assert "-7.99 to -2.51, items and seeds" in page
    assert "not computed yet" in page
    assert "Stated questions" not in build.FORMATS[ending](seeded())


def stated(**changes: Any) -> Any:
    return an_experiment(contrasts={"helps": {"variants": ["q0"], "against": "full"} | changes})


def test_statement_counts_the_cells_that_were_evaluated(tmp_path: Path) -> None:
    statement.record(stated(), tmp_path)
    cells = grid.cells(stated())
    finish(tmp_path, cells[0], 10, 20)
    assert statement.remark(stated(), tmp_path, "helps") == "before any cell was evaluated"
    statement.record(stated(), tmp_path)
    assert read_json(tmp_path / "contrasts.json")["helps"]["evaluated"] == 0, "the first note stays"
    changed = stated(benchmarks=["A"])
    assert statement.remark(changed, tmp_path, "helps") == "not noted when"
    statement.record(changed, tmp_path)
    assert statement.remark(changed, tmp_path, "helps") == f"when 1 of {len(cells)} cells were evaluated"


def test_config_without_contrasts_leaves_no_file(tmp_path: Path) -> None:
    statement.record(an_experiment(), tmp_path)
    assert not (tmp_path / "contrasts.json").exists()
