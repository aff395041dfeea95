"""Protocol paper on a very small sandbox, through Snakemake: only a benchmark that is added is evaluated."""

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from support.snakemake_runs import CORES, DEFAULT, planned, snakemake

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workflow")]

CONFIG: dict[str, Any] = copy.deepcopy(DEFAULT)
CONFIG["models"]["sandbox-1M"] = {"pretrain": {"seed": 0, "steps": 4, "hidden_size": 32, "layers": 2}}
CONFIG["evaluation"]["protocol"] = "paper"
ALL = CONFIG["evaluation"]["benchmarks"]
ALL["SQuAD"]["task"] = "squadv2"
for _benchmark in ALL.values():
    _benchmark["limit"] = 4
CELL = "sandbox-1M/zero-shot"
TARGETS = {name: f"results/sandbox/evaluation/{CELL}/{name}.json" for name in ALL}
FEWER = [name for name in ALL if name != "GSM8K"]


def config(names: Iterable[str]) -> dict[str, Any]:
    return CONFIG | {"evaluation": CONFIG["evaluation"] | {"benchmarks": {name: ALL[name] for name in names}}}


def evaluate(folder: Path, names: Iterable[str]) -> list[str]:
    """Make the zero-shot cell's evaluation; the job's log."""
    run = snakemake(folder, "--cores", CORES, *map(TARGETS.__getitem__, names), config=config(names))
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return (folder / "results/sandbox/logs/evaluate" / f"{CELL}.log").read_text().splitlines()


def evaluated(log: list[str]) -> list[str]:
    return [line.partition(":")[0] for line in log if ": evaluated, " in line]


def test_only_a_benchmark_that_is_added_is_evaluated(tmp_path: Path) -> None:
    folder = tmp_path / "results/sandbox/evaluation" / CELL
    assert evaluated(evaluate(tmp_path, FEWER)) == FEWER
    before = {file.name: file.read_bytes() for file in folder.glob("*.*")}
    assert len(before) == 8

    assert planned(tmp_path, *TARGETS.values(), config=config(ALL)) == {"benchmark_items": 1, "evaluate": 1}
    log = evaluate(tmp_path, ALL)
    assert evaluated(log) == ["GSM8K"]
    assert [line.partition(":")[0] for line in log if line.endswith(": cached")] == FEWER
    after = {file.name: file.read_bytes() for file in folder.glob("*.*")}
    assert {name: after[name] for name in before} == before
    record = json.loads(after["GSM8K.json"])
    assert (record["protocol"], record["n_items"], record["n_eligible"]) == ("paper", 4, 150)
    assert planned(tmp_path, *TARGETS.values(), config=config(ALL)) == {}, "what was kept is no older than its inputs"

    (folder / "SQuAD.json").unlink()
    (folder / "cache/SQuAD.parquet").unlink()
    assert evaluated(evaluate(tmp_path, ALL)) == ["SQuAD"], "Snakemake removed the declared files of the others, too"
