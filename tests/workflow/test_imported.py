"""A column from outside on a very small sandbox, through Snakemake: it is imported by a job of its own."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from support.snakemake_runs import CORES, DEFAULT, planned, snakemake

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workflow")]

CONFIG: dict[str, Any] = copy.deepcopy(DEFAULT)
CONFIG["models"]["sandbox-1M"] = {"pretrain": {"seed": 0, "steps": 4, "hidden_size": 32, "layers": 2}}
CONFIG["evaluation"]["benchmarks"] = {"ARC-E": CONFIG["evaluation"]["benchmarks"]["ARC-E"] | {"limit": 4}}
WITH_WINS = copy.deepcopy(CONFIG)
WITH_WINS["evaluation"]["benchmarks"]["Wins"] = {"kind": "imported", "scores": "judge/{model}/{cell}.csv"}
FOLDER = "results/sandbox/evaluation/sandbox-1M/zero-shot"
TARGETS = [f"{FOLDER}/{name}.json" for name in ("ARC-E", "Wins")]


def test_a_column_from_outside_runs_nothing_else(tmp_path: Path) -> None:
    first = snakemake(tmp_path, "--cores", CORES, TARGETS[0], config=CONFIG)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-6000:]
    before = (tmp_path / TARGETS[0]).read_bytes()
    assert planned(tmp_path, *TARGETS, config=WITH_WINS) == {"import_scores": 1}

    missing = snakemake(tmp_path, "--cores", CORES, *TARGETS, config=WITH_WINS)
    log = (tmp_path / "results/sandbox/logs/import_scores/sandbox-1M/zero-shot/Wins.log").read_text()
    assert missing.returncode != 0 and "judge/sandbox-1M/zero-shot.csv: no such file" in log.splitlines()[-1]
    assert (tmp_path / TARGETS[0]).read_bytes() == before

    file = tmp_path / "judge/sandbox-1M/zero-shot.csv"
    file.parent.mkdir(parents=True)
    file.write_text("id,score\nq1,1\nq2,0.5\n")
    done = snakemake(tmp_path, "--cores", CORES, *TARGETS, config=WITH_WINS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert json.loads((tmp_path / TARGETS[1]).read_text())["score"] == 75

    file.write_text("id,score\nq1,1\nq2,0\n")
    assert planned(tmp_path, *TARGETS, config=WITH_WINS) == {"import_scores": 1}
