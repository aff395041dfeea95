"""`seeds: auto(...)` under the real Snakemake: which cells a second call adds, and what it leaves alone."""

from pathlib import Path

import pytest

from prunegrid.core.files import read_json, write_json
from prunegrid.experiment import grid
from prunegrid.statistics import deltas
from support import table_frames
from support.results_folder import an_experiment, finish, put, shared_files
from support.snakemake_runs import planned, snakemake

RULE = "auto(3, 5, detect=3)"
CONFIG = an_experiment(seeds=RULE).model_dump(mode="json", exclude_unset=True, exclude={"seed_rule"}) | {"seeds": RULE}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three seeds of every cell are finished, and collected with a run noise of 20 points."""
    root = tmp_path / "results/tiny"
    shared_files(root, an_experiment())
    for cell in grid.cells(an_experiment(seeds=RULE)):
        finish(root, cell, 10, 20)
    put(tmp_path / "world.jsonl", '{"prompt": "a", "response": "b"}\n')
    row = table_frames.delta("q0", "Avg", 9, **table_frames.noise(3, sd=20))
    deltas.write(table_frames.deltas(row), root / "deltas.parquet")
    return tmp_path


def test_next_call_adds_the_cells_that_finished_ones_imply(folder: Path) -> None:
    plain = planned(folder, config=CONFIG | {"seeds": [0, 1, 2]})
    grown = planned(folder, config=CONFIG)
    added = {rule: grown[rule] - plain.get(rule, 0) for rule in ("prune", "train", "evaluate")}
    assert added == {"prune": 6, "train": 8, "evaluate": 8}, "two more seeds of three variants and of Full"
    assert not (folder / "results/tiny/seeds.json").exists(), "a dry run records nothing"


def test_run_records_its_number_and_says_it(folder: Path) -> None:
    done = snakemake(folder, "--cores", "1", "results/tiny/experiment.json", config=CONFIG)
    assert done.returncode == 0, done.stderr
    assert f"prunegrid: Seeds: {RULE}, now 3" in done.stderr
    assert "this run uses 5" in done.stderr
    assert read_json(folder / "results/tiny/seeds.json") == {"seeds": 5, "rule": RULE}
    assert read_json(folder / "results/tiny/experiment.json")["seeds"] == [0, 1, 2, 3, 4]


def test_recorded_number_stays(folder: Path) -> None:
    write_json(folder / "results/tiny/seeds.json", {"seeds": 4, "rule": RULE})
    plain, grown = planned(folder, config=CONFIG | {"seeds": [0, 1, 2, 3]}), planned(folder, config=CONFIG)
    assert grown == plain, "the fourth seed is begun: the number stays until its cells are collected"


def test_job_of_a_run_takes_the_recorded_number(folder: Path) -> None:
    """Slurm's jobs read the Snakefile again: by then the noise may imply more seeds than their run makes."""
    record = "results/tiny/experiment.json"
    done = snakemake(folder, "--mode", "subprocess", "--cores", "1", "--nolock", record, config=CONFIG)
    assert done.returncode == 0, done.stderr
    assert read_json(folder / record)["seeds"] == [0, 1, 2]
    assert not (folder / "results/tiny/seeds.json").exists()
