"""Shards as jobs: one that is killed leaves nothing behind, and it alone runs again."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from prunegrid.core.files import read_json
from support.snakemake_runs import command, environment, planned, snakemake
from support.toy_experiment import toy_config

TARGET = "results/toy/scores/m/extra/ifd.parquet"


def test_number_of_shards(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    chain = {"dataset": 1, "model": 1, "gather_scores": 1, "extra_score": 1}
    assert planned(tmp_path, TARGET, config=config) == {**chain, "score": 2}
    assert planned(tmp_path, TARGET, "--set-scatter", "score=5", config=config) == {**chain, "score": 5}


@pytest.mark.slow
def test_only_a_killed_shard_runs_again(tmp_path: Path) -> None:
    planned(tmp_path, TARGET, config=toy_config(tmp_path))
    scores, logs = tmp_path / "results/toy/scores/m", tmp_path / "results/toy/logs/score/m"
    run = subprocess.Popen(command(tmp_path, "--cores", "1", TARGET), env=environment())
    while not (list(scores.glob("shards/*/meta.json")) and len(list(logs.glob("*.log"))) == 2):
        assert run.poll() is None, "ended before it could be killed"
        time.sleep(0.05)
    for child in psutil.Process(run.pid).children(recursive=True):
        if any(part.endswith("score.py") for part in child.cmdline()):
            child.kill()
    run.wait()
    left = [file.name for file in scores.rglob("*") if file.is_file() and ".snakemake" not in file.name]
    assert sorted(left) == ["meta.json", "samples.parquet", "tokens.parquet"]
    assert planned(tmp_path, TARGET) == {"score": 1, "gather_scores": 1, "extra_score": 1}
    done = snakemake(tmp_path, "--cores", "1", TARGET)
    assert done.returncode == 0, done.stderr
    assert read_json(scores / "meta.json")["samples"] == 9
    assert not list(scores.glob("shards/*/*.parquet"))
    assert (tmp_path / TARGET).exists()
