"""Scores from elsewhere through Snakemake: a changed file runs its import and what is pruned by it, nothing else."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.core.files import read_json
from support.snakemake_runs import CORES, DEFAULT, planned, snakemake
from support.toy_experiment import toy_config

CELL = "results/toy/pruned/m/s0.5-t0.5"
JUDGED, RANDOM = f"{CELL}/judged/seed0/selection.json", f"{CELL}/random+random/seed0/selection.json"


def judged_config(folder: Path, **settings: Any) -> dict[str, Any]:
    """The toy experiment with scores of ids that the data carry; two variants, one of them pruned by the scores."""
    config = toy_config(folder)
    rows = [
        json.loads(line) | {"uid": f"q{k}"}
        for k, line in enumerate((folder / "rows.jsonl").read_text().split("\n")[:9])
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config["dataset"] |= {"carry": ["uid"]}
    quality = {"file": "judge.jsonl", "id": "uid", "source": "a judge", **settings}
    return config | {
        "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
        "seeds": [0],
        "variants": ["random+random", {"judged": {"method": "imported+random"}}],
        "scores": {"quality": quality, "unread": "nothing.jsonl"},
    }


def judge(folder: Path, *best: int) -> None:
    rows = [{"uid": f"q{k}", "quality": 1 + (k in best)} for k in range(9)]
    (folder / "judge.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def kept(folder: Path) -> list[int]:
    ids: list[int] = pq.read_table((folder / JUDGED).with_suffix(".parquet"))["sample_id"].to_pylist()
    return ids


def test_a_file_that_is_not_there_is_named_before_any_job(tmp_path: Path) -> None:
    done = snakemake(tmp_path, "--dry-run", JUDGED, config=judged_config(tmp_path))
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "scores.quality.file: judge.jsonl is not a file; write it, or correct the path" in output
    assert planned(tmp_path, RANDOM)["prune"] == 1, "who does not read the scores does not wait for them"


def test_only_what_reads_the_scores_is_planned(tmp_path: Path) -> None:
    judge(tmp_path, 1)
    chain = {"dataset": 1, "model": 1, "score": 2, "gather_scores": 1, "prune": 1}
    assert planned(tmp_path, JUDGED, config=judged_config(tmp_path)) == {**chain, "imported_column": 1}
    assert planned(tmp_path, RANDOM) == chain


@pytest.mark.slow
@pytest.mark.usefixtures("warm_workflow")
def test_a_changed_file_runs_its_import_and_what_is_pruned_by_it(tmp_path: Path) -> None:
    config, targets = judged_config(tmp_path), (JUDGED, RANDOM)
    judge(tmp_path, 2, 3, 5, 8)
    done = snakemake(tmp_path, "--cores", CORES, *targets, config=config)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert kept(tmp_path) == [2, 3, 5, 8]
    extras = read_json(tmp_path / JUDGED)["extras"]["quality"]
    assert (extras["file"], extras["source"], extras["id"]) == ("judge.jsonl", "a judge", "uid")
    assert planned(tmp_path, *targets) == {}
    changed = {"quality": config["scores"]["quality"] | {"source": "another text"}}
    assert planned(tmp_path, *targets, config=config | {"scores": changed}) == {}, "the text decides nothing"

    judge(tmp_path, 0, 1, 2, 3)
    assert planned(tmp_path, *targets, config=config) == {"imported_column": 1, "prune": 1}
    done = snakemake(tmp_path, "--cores", CORES, *targets)
    assert done.returncode == 0 and kept(tmp_path) == [0, 1, 2, 3]

    (tmp_path / "judge.jsonl").write_text('{"uid": "q0", "quality": "good"}\n')
    done = snakemake(tmp_path, "--cores", CORES, *targets)
    log = (tmp_path / "results/toy/logs/imported_column/m/quality.log").read_text()
    assert done.returncode != 0 and "judge.jsonl:1: quality is 'good', not a number" in log.splitlines()[-1]


def test_the_sandbox_draws_a_judges_file_and_no_world_again(tmp_path: Path) -> None:
    """`world` has the outputs that it has without the judge, so a finished world stays as it is."""
    results = f"results/{DEFAULT['experiment']}"
    world, judge = (f"{results}/world/sandbox/{name}/default/train.jsonl" for name in ("pretrain", "judge"))
    done = snakemake(tmp_path, "--cores", CORES, world, config=DEFAULT)
    assert done.returncode == 0, done.stderr[-3000:]
    config = DEFAULT | {"scores": {"quality": judge}, "variants": ["random+random", {"j": {"method": "imported+ppl"}}]}
    assert planned(tmp_path, world, judge, config=config) == {"world_option": 1}
    done = snakemake(tmp_path, "--cores", CORES, judge, config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    first = json.loads((tmp_path / judge).read_text().splitlines()[0])
    assert first == {"row": 0, "score": 4.731}
    assert planned(tmp_path, world, judge, config=config) == {}
