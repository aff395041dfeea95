"""What stands below the table, from records made by hand."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import files
from prunegrid.experiment import grid
from prunegrid.results import collect
from prunegrid.statistics.deltas import deltas
from prunegrid.table import provenance
from prunegrid.table.comparison import contrasts
from support.results_folder import an_experiment, answer, finish, shared_files

RIGHT = {"full": 0.9, "random+random": 0.5, "random+ppl": 0.4}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shared_files(tmp_path, an_experiment())
    for cell in grid.cells(an_experiment()):
        finish(tmp_path, cell, 30, 40)
        share = RIGHT.get(cell.variant, 0.3) + 0.05 * (cell.seed or 0)
        answer(tmp_path, cell, "A", [float(number < share * 100) for number in range(100)])
    return tmp_path


def told(root: Path) -> list[str]:
    experiment = an_experiment()
    frame = collect.collect(experiment, root)
    return provenance.footer(experiment, root, frame, deltas(frame, root, contrasts(experiment, frame)))


def record(root: Path, cell: str, **values: Any) -> None:
    path = root / "evaluation/m" / cell / "A.json"
    files.write_json(path, files.read_json(path) | values)


def test_protocol_items_versions_config_and_code(root: Path) -> None:
    detects, asked, made = told(root)
    assert detects.startswith(
        "Smallest true difference that one comparison finds with 80 % power (5 %, two-sided, items"
    )
    assert asked == ("Protocol harness, float32; items: A 100, B 50. Evaluated with lm_eval 0.4.13, torch 2.13.0.")
    digest = provenance.config_digest(an_experiment())[:12]
    assert made.startswith(f"Config {digest} (tiny); table by prunegrid 0.1.0, ")


def test_what_is_incomplete_and_what_was_cut(root: Path) -> None:
    for cell in grid.cells(an_experiment()):
        record(root, cell.path, n_complete=120)
    record(root, "full/seed1", n_truncated=7)
    _, _, incomplete, cut, _ = told(root)
    assert incomplete == "Not all items were asked: A 100 of 120."
    assert cut == "Prompts were cut on the left to fit the context, at most in a cell: A 7 of 100 items."


def test_a_stale_cell_tells_nothing(root: Path) -> None:
    """The first cell of its variant was asked another limit: its record is not what the table shows."""
    record(root, "s0.125-t0.5/random+random/seed0", limit=7, n_items=7)
    record(root, "zero-shot", limit=7, n_items=7)
    assert "items: A 100, B 50." in told(root)[1]


def test_nothing_evaluated(tmp_path: Path) -> None:
    shared_files(tmp_path, an_experiment())
    assert [line.partition(" ")[0] for line in told(tmp_path)] == ["Config"]


def test_the_digest_is_of_what_the_config_says() -> None:
    same, other = an_experiment(), an_experiment(seeds=[0])
    assert provenance.config_digest(same) == provenance.config_digest(an_experiment())
    assert provenance.config_digest(same) != provenance.config_digest(other)
