"""`pruning: {shards: 3}` under Snakemake: the selection of one job, cut by three, and trained on."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.core import parts
from prunegrid.core.files import read_json
from support.snakemake_runs import CORES, planned, snakemake
from support.toy_experiment import toy_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workflow")]

CELL = "m/s0.5-t0.5/random+ppl/seed0"
PRUNED = f"results/toy/pruned/{CELL}"
TRAINING = f"results/toy/trained/{CELL}/training.json"


def config(folder: Path, shards: int) -> dict[str, Any]:
    return toy_config(folder) | {
        "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
        "variants": ["random+ppl"],
        "pruning": {"shards": shards},
    }


def run(folder: Path, given: dict[str, Any], *targets: str) -> None:
    done = snakemake(folder, "--cores", CORES, *targets, config=given)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


def test_three_shards_are_cut_trained_on_and_cut_again_alone(tmp_path: Path) -> None:
    three, one = config(tmp_path, 3), config(tmp_path, 1)
    run(tmp_path, one, f"{PRUNED}/selection.json")
    whole = pq.read_table(tmp_path / PRUNED / "selection.parquet")
    expected = read_json(tmp_path / PRUNED / "selection.json")
    run(tmp_path, three, TRAINING)
    assert parts.read_parts(tmp_path / PRUNED / "selection").equals(whole)
    files = sorted(path.name for path in (tmp_path / PRUNED).iterdir())
    assert files == ["choice.parquet", "selection", "selection.json"]
    summary, training = read_json(tmp_path / PRUNED / "selection.json"), read_json(tmp_path / TRAINING)
    assert training["selection"] == summary["selection"] != expected["selection"]
    for changed in ("selection", "shards"):
        summary.pop(changed)
        expected.pop(changed, None)
    assert summary == expected
    assert planned(tmp_path, TRAINING, config=three) == {}
    (tmp_path / PRUNED / "selection/00002-of-00003.parquet").unlink()
    jobs = planned(tmp_path, f"{PRUNED}/selection/00002-of-00003.parquet", config=three)
    assert jobs == {"cut": 1}
