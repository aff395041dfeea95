"""The whole workflow on a very small sandbox, then what changes and losses would run again, and what failures show."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.experiment.locate import find
from prunegrid.plan.memory import peak_mb
from support import plan_check
from support.docs import example
from support.snakemake_runs import CORES, DEFAULT, planned, snakemake

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = copy.deepcopy(DEFAULT)
EQUAL = {"equal-budget": {"method": "random+random", "match": "qtuning"}}
CONFIG["variants"] = ["random+random", "qtuning", EQUAL, "my_pruners:moderate+rho1"]
CONFIG["dataset"]["max_samples"] = 80
CONFIG["models"]["sandbox-1M"] = {
    "pretrain": {"seed": 0, "steps": 20},
    "reference": {"pretrain": {"seed": 1, "steps": 20}},
}
CONFIG["training"]["num_train_epochs"] = 1
for _benchmark in CONFIG["evaluation"]["benchmarks"].values():
    _benchmark["limit"] = 8
CELL = "sandbox-1M/s0.125-t0.5/qtuning/seed0"
NUMBERS = ["variant", "benchmark", "score", "delta", "realised_token_ratio", "trained_tokens", "status"]
SHOWN = {"collect": 1, "table": 1, "figures": 1, "report": 1}
CELL_ONLY = {"train": 1, "evaluate": 1, **SHOWN}


def config(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(CONFIG) | changes


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "my_pruners.py").write_text(example())
    run = snakemake(folder, "--cores", CORES, config=CONFIG)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return folder


def test_the_table_has_no_hole(done: Path) -> None:
    frame = pq.read_table(done / "results/sandbox/results.parquet").to_pandas()
    assert len(frame) == 6 * 6
    assert set(frame["status"]) == {"done"}
    assert frame["score"].between(0, 100).all()
    table = (done / "results/sandbox/table/table.md").read_text()
    assert "This is a sandbox" in table
    assert all(row in table for row in ("Zero-Shot", "Random", "Q-Tuning", "equal-budget", "moderate", "Full Dataset"))


def test_the_equal_budget_row_is_equal(done: Path) -> None:
    folder = done / "results/sandbox/pruned/sandbox-1M/s0.125-t0.5"
    ours, control = (
        json.loads((folder / name / "seed0/selection.json").read_text()) for name in ("qtuning", "equal-budget")
    )
    assert control["match"] == "qtuning"
    for key in ("n_kept_samples", "kept_tokens"):
        assert control[key] == ours[key]


def test_full_and_pruned_take_the_same_steps(done: Path) -> None:
    reports = [json.loads(p.read_text()) for p in done.glob("results/sandbox/trained/**/training.json")]
    assert len(reports) == 5
    assert len({report["steps"] for report in reports}) == 1
    assert sorted(report["kept_samples"] for report in reports) == [10, 10, 10, 10, 80]


def test_nothing_is_done_twice(done: Path) -> None:
    assert planned(done, config=CONFIG) == {}


def test_a_new_ratio_scores_nothing_again(done: Path) -> None:
    jobs = planned(done, config=config(budgets=[{"sample_ratio": 0.25, "token_ratio": 0.5}]))
    assert jobs == {"record": 1, "prune": 4, "train": 4, "evaluate": 4, **SHOWN}


def test_a_new_variant_runs_alone(done: Path) -> None:
    jobs = planned(done, config=config(variants=[*CONFIG["variants"], "random+ppl"]))
    assert jobs == {"record": 1, "prune": 1, **CELL_ONLY}


def test_a_new_learning_rate_trains_again_and_prunes_nothing(done: Path) -> None:
    changed = config(training=CONFIG["training"] | {"learning_rate": 2e-3})
    assert planned(done, config=changed) == {"record": 1, "train": 5, "evaluate": 5, **SHOWN}


def test_a_new_note_makes_the_table_only(done: Path) -> None:
    assert planned(done, config=config(note="Another note.")) == {"record": 1, **SHOWN}


@pytest.mark.parametrize(
    ("lost", "jobs"),
    [
        (f"evaluation/{CELL}/SQuAD.json", {"evaluate": 1, **SHOWN}),
        (f"trained/{CELL}/training.json", CELL_ONLY),
        (f"trained/{CELL}/model", CELL_ONLY),
        (f"pruned/{CELL}/selection.parquet", {"prune": 2, "train": 2, "evaluate": 2, **SHOWN}),
    ],
)
def test_a_lost_output_reruns_its_cell_and_the_table_only(done: Path, lost: str, jobs: dict[str, int]) -> None:
    """The cell that is matched to a lost selection is made again with it."""
    file = done / "results/sandbox" / lost
    away = file.rename(done / "away")
    try:
        assert planned(done, config=CONFIG) == jobs
    finally:
        away.rename(file)


def prunegrid(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prunegrid.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_report_embeds_the_table_and_the_figures(done: Path) -> None:
    run = snakemake(done, "--report", "report.html", config=CONFIG)
    assert run.returncode == 0, run.stderr
    report = (done / "report.html").read_text()
    assert all(
        name in report for name in ("report.html", "table.html", "eu-plane.svg", "pareto.svg", "bars-s0.125-t0.5.svg")
    )


def test_verify_finds_every_number_again(done: Path) -> None:
    """6 cells x 5 benchmarks of 8 items; 3 rows have deltas, on 6 columns."""
    run = prunegrid("verify", str(done / "results/sandbox"))
    assert run.returncode == 0, run.stderr
    assert "recomputed from 240 item values: 30 scores, 6 averages and 18 deltas match" in run.stdout
    assert "54 scores, spreads and deltas match table.csv" in run.stdout


def test_cli_table_needs_the_folder_alone(done: Path) -> None:
    run = prunegrid("table", str(done / "results/sandbox"))
    assert run.returncode == 0, run.stderr
    assert "\nqtuning " in run.stdout


@pytest.mark.parametrize(
    "check",
    [
        plan_check.calibrated_by_all,
        # It compares cells that ran at different times, so other load on the machine decides it: run it alone.
        pytest.param(plan_check.calibrated_by_a_third, marks=pytest.mark.exhaustive),
    ],
)
def test_plan_is_within_30_percent_of_the_run(done: Path, check: Any) -> None:
    """Jobs' seconds, summed: of the whole run by its own times, and of two thirds of the cells by the other third's."""
    experiment, root = find(done / "results/sandbox")
    said, took = check(experiment, root)
    assert 0.7 <= said / took <= 1.3, f"{said:.0f} s said, {took:.0f} s taken"


@pytest.mark.parametrize("rule", ["model", "score", "train", "evaluate", "figures"])
def test_plan_memory_is_near_what_was_needed(done: Path, rule: str) -> None:
    """MiB of main memory: enough, give or take a tenth, and not twice as much."""
    experiment, root = find(done / "results/sandbox")
    files = [*(root / "benchmarks").glob(f"{rule}/**/*.jsonl"), *(root / "benchmarks").glob(f"{rule}.jsonl")]
    needed = max(json.loads(file.read_text().splitlines()[-1])["max_rss"] for file in files)
    assert 0.9 * needed <= peak_mb(rule, experiment, root=root) <= 2 * needed


def test_weights_are_deleted_after_evaluation(done: Path, tmp_path: Path) -> None:
    """`retention: scores` runs no cell again; one that is evaluated again is trained again, and its weights go."""
    folder = Path(shutil.copytree(done, tmp_path / "run", symlinks=True))
    root = folder / "results/sandbox"
    whole = pq.read_table(root / "results.parquet", columns=NUMBERS)
    scores = config(runtime=CONFIG["runtime"] | {"retention": "scores"})
    assert planned(folder, config=scores) == {"record": 1, **SHOWN}
    weights = root / "trained" / CELL / "model"
    (root / "evaluation" / CELL / "SQuAD.json").unlink()
    assert planned(folder, config=scores) == {"record": 1, "evaluate": 1, **SHOWN}
    shutil.rmtree(weights)
    assert planned(folder, config=scores) == {"record": 1, **CELL_ONLY}
    run = snakemake(folder, "--cores", CORES, config=scores)
    assert run.returncode == 0, run.stderr[-3000:]
    assert not weights.exists()
    assert (weights.parent / "training.json").exists()
    assert pq.read_table(root / "results.parquet", columns=NUMBERS).equals(whole)
    assert planned(folder, config=scores) == {}
    run = prunegrid("verify", str(root))
    assert run.returncode == 0, run.stderr
    assert planned(folder, config=CONFIG) == {"record": 1, **CELL_ONLY}, "to have weights again is to train"


def test_failed_cell_is_shown_and_repaired(done: Path) -> None:
    """A truncated selection: its consumer names it, the table still comes, and one removal repairs it."""
    folder = done / "results/sandbox"
    selection = folder / "pruned" / CELL / "selection.parquet"
    whole = pq.read_table(folder / "results.parquet", columns=NUMBERS)
    (folder / "trained" / CELL / "training.json").unlink()
    selection.write_bytes(selection.read_bytes()[:100])
    run = snakemake(done, "--cores", CORES, config=CONFIG)
    assert run.returncode != 0
    assert re.search(r"prunegrid: .*selection.parquet: its SHA-256 is", run.stderr)
    broken = (folder / "table/table.md").read_text()
    assert "failed" in broken
    assert "logs/train/" in broken
    selection.unlink()
    run = snakemake(done, "--cores", CORES, config=CONFIG)
    assert run.returncode == 0, run.stderr[-3000:]
    repeated = pq.read_table(folder / "results.parquet", columns=NUMBERS)
    assert repeated.equals(whole), "the same seed gives the same numbers, other than what it cost"
