"""What the real Snakemake says of finished cells before a run's first job, and how it meets a step that runs."""

import os
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import locks
from prunegrid.core.step import lock_path
from prunegrid.experiment import config, grid
from support.results_folder import an_experiment, finish, put, shared_files
from support.snakemake_runs import snakemake

RECORD = "results/tiny/experiment.json"
"""A target whose rule runs at once and needs nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `snakemake` runs: all cells of `an_experiment` are finished."""
    root = tmp_path / "results/tiny"
    shared_files(root, an_experiment())
    for cell in grid.cells(an_experiment()):
        finish(root, cell, 10, 20)
    put(tmp_path / "world.jsonl", '{"prompt": "a", "response": "b"}\n')
    return tmp_path


def config_values(**changes: Any) -> dict[str, Any]:
    """The config of `an_experiment` with these changes."""
    values: dict[str, Any] = an_experiment(**changes).model_dump(mode="json", exclude_unset=True)
    assert config.load(values) == an_experiment(**changes)
    return values


def status_lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("prunegrid: ")]


def test_run_prints_stale_cells_with_their_reason(folder: Path) -> None:
    changed = config_values(training={"learning_rate": 0.0002}, scoring={"max_length": 64})
    done = snakemake(folder, "--cores", "1", RECORD, config=changed)
    assert done.returncode == 0, done.stderr
    assert status_lines(done.stdout + done.stderr) == [
        "prunegrid: finished, but stale under this config: 8 cells",
        "prunegrid:   scoring.max_length was 2048, now 64: 8 cells",
        "prunegrid:   training.learning_rate was 0.0001, now 0.0002: 8 cells",
    ]
    assert (folder / RECORD).exists()


def test_run_without_stale_cells_prints_nothing(folder: Path) -> None:
    done = snakemake(folder, "--cores", "1", RECORD, config=config_values())
    assert done.returncode == 0, done.stderr
    assert status_lines(done.stdout + done.stderr) == []


def test_dry_run_prints_no_stale_cells(folder: Path) -> None:
    done = snakemake(folder, "--dry-run", RECORD, config=config_values(training={"learning_rate": 0.0002}))
    assert done.returncode == 0, done.stderr
    assert status_lines(done.stdout + done.stderr) == []


def test_run_ignores_damaged_results(folder: Path) -> None:
    damaged = folder / "results/tiny/trained/m/full/seed0/training.json"
    damaged.write_text("{")
    done = snakemake(folder, "--cores", "1", RECORD, config=config_values())
    assert done.returncode == 0, done.stderr
    (line,) = status_lines(done.stdout + done.stderr)
    assert line.startswith(
        "prunegrid: cannot tell which finished cells are stale: results/tiny/trained/m/full/seed0/training.json: "
    )


def test_run_refuses_a_running_step(folder: Path) -> None:
    """Snakemake removes the log before it starts the job: a lock on the log itself would be no more."""
    log = folder / "results/tiny/logs/record.log"
    put(log, "of an orphan of a Snakemake that was killed\n")
    descriptor = locks.acquire(lock_path(log))
    assert descriptor is not None
    done = snakemake(folder, "--cores", "1", RECORD, config=config_values())
    assert done.returncode == 1
    who = f"process {os.getpid()} on {os.uname().nodename}"
    (line,) = [line for line in status_lines(done.stdout + done.stderr) if "is already running" in line]
    assert f"this step is already running (started by {who}); wait for it, or stop it" in line
    assert not log.exists() or "orphan" not in log.read_text()
    os.close(descriptor)
    assert snakemake(folder, "--cores", "1", RECORD).returncode == 0


def test_run_prints_short_lines_and_logs_the_blocks(folder: Path) -> None:
    done = snakemake(folder, "--cores", "1", RECORD, config=config_values())
    assert done.returncode == 0, done.stderr
    assert "\nrecord: done\n" in done.stderr
    assert "output: " not in done.stderr and "SNAKEMAKE" not in done.stderr
    (log,) = (folder / ".snakemake/log").glob("*.snakemake.log")
    assert f"output: {RECORD}" in log.read_text() and "SNAKEMAKE" in log.read_text()


def test_verbose_run_prints_the_blocks(folder: Path) -> None:
    done = snakemake(folder, "--cores", "1", "--verbose", RECORD, config=config_values())
    assert f"output: {RECORD}" in done.stderr
