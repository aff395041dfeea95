"""`runtime.cells_per_gpu` in the workflow: what jobs ask of Snakemake, and what they hold."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import gpus
from support.snakemake_runs import DEFAULT, command, snakemake
from support.toy_experiment import toy_config


def on_gpus(slots: int, ranks: int) -> dict[str, Any]:
    training = DEFAULT["training"] | {"ranks": ranks}
    return DEFAULT | {"device": "cuda", "runtime": {"cells_per_gpu": slots}, "training": training}


@pytest.mark.parametrize(
    ("slots", "ranks", "training"),
    [
        (4, 2, ("2", "8")),
        pytest.param(4, 1, ("1", "1"), marks=pytest.mark.slow),
        pytest.param(1, 2, ("2", "2"), marks=pytest.mark.slow),
    ],
)
def test_a_job_asks_for_gpus_and_for_slots_of_them(
    slots: int, ranks: int, training: tuple[str, str], tmp_path: Path
) -> None:
    """A scheduler is asked for whole GPUs; on one machine slots are counted."""
    actual = snakemake(tmp_path, "--dry-run", config=on_gpus(slots, ranks))
    assert actual.returncode == 0, actual.stdout + actual.stderr
    asked: dict[str, set[tuple[str, ...]]] = {}
    for rule, resources in re.findall(
        r"^(?:local)?rule (\w+):\n(?:.+\n)*?    resources: (.*)", actual.stdout, re.MULTILINE
    ):
        numbers = (re.search(rf"\b{name}=(\d+)", resources) for name in ("gpu", "gpu_slots"))
        asked.setdefault(rule, set()).add(tuple(number[1] if number else "0" for number in numbers))
    assert asked["score"] == asked["evaluate"] == {("1", "1")}
    assert asked["train"] == {training}
    assert asked["prune"] == asked["dataset"] == {("0", "0")}


@pytest.mark.slow
def test_a_job_shares_the_gpu_that_another_one_is_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for ever for a GPU of its own. With its slot it goes on, as far as it can without a GPU."""
    (tmp_path / "locks").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "locks"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "locks"))
    monkeypatch.setenv(gpus.VISIBLE, "0")
    config = toy_config(tmp_path) | {"device": "cuda", "runtime": {"cells_per_gpu": 2}}
    target = "results/toy/scores/m/shards/1-of-2/meta.json"
    line = command(tmp_path, "--cores", "1", "--resources", "gpu_slots=2", "--notemp", target, config=config)
    with gpus.reserve(1, slots=2):
        environment = {**os.environ, gpus.HOLDER: ""}
        done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=120)
    log = (tmp_path / "results/toy/logs/score/m/1-of-2.log").read_text()
    assert done.returncode == 1 and "1 GPU(s) are needed, but torch" in log
    assert "waiting for" not in log
