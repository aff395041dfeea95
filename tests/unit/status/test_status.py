"""Whether a cell failed or is stale, told from a results folder made by hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prunegrid import status
from prunegrid.core import files
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.status import Files
from prunegrid.table import build as table
from support.results_folder import ITEMS, an_experiment, finish, put, rows, shared_files


def stale(experiment: Experiment, root: Path, cell: Cell) -> bool:
    return bool(status.cell_reasons(experiment, Files(root), cell))


def stale_score(root: Path, **changes: Any) -> bool:
    return bool(status.score_reasons(an_experiment(**changes), Files(root), Cell("m", "zero-shot"), "A"))


def test_status_of_a_failed_rerun_hides_the_old_score(root: Path) -> None:
    """Snakemake removes the failed job's outputs only: the old evaluation still lies there."""
    put(root / "logs/train/m/s0.125-t0.5/random+random/seed0.log", "FAILED: boom\n")
    frame = collect.collect(an_experiment(), root)
    failed = rows(frame, "random+random", 0)
    assert set(failed["status"]) == {"failed"}
    assert failed["score"].isna().all()
    assert rows(frame, "random+ppl", 0)["delta"].isna().all(), "no delta against a score that is not there"


@pytest.mark.parametrize("lost", ["trained/m/full/seed0/training.json", "pruned/m/{cell}/selection.json"])
def test_status_without_model_or_selection_is_stale(root: Path, lost: str) -> None:
    (root / lost.format(cell="s0.125-t0.5/random+ppl/seed0")).unlink()
    frame = collect.collect(an_experiment(), root)
    variant = "random+ppl" if "{cell}" in lost else "full"
    assert set(rows(frame, variant, 0)["status"]) == {"stale"}
    assert rows(frame, variant, 0)["score"].isna().all()
    assert set(rows(frame, "random+random", 0)["status"]) == {"done"}


def test_status_without_base_model_is_stale(root: Path) -> None:
    (root / "models/m.json").unlink()
    assert "done" not in set(collect.collect(an_experiment(), root)["status"])


BENCHMARKS = {name: {"task": "arc_easy", "data": {"path": "d.jsonl"}} for name in ITEMS}


@pytest.mark.parametrize(
    ("changes", "zero_shot"),
    [
        ({"training": {"learning_rate": 1}}, "done"),
        ({"scoring": {"max_length": 64}}, "done"),
        ({"dataset": {"name": "world", "path": "world.jsonl", "max_samples": 5}}, "done"),
        ({"models": {"m": {"path": "elsewhere"}}}, "stale"),
        ({"evaluation": {"dtype": "bfloat16", "benchmarks": BENCHMARKS}}, "stale"),
        ({"evaluation": {"protocol": "paper", "benchmarks": BENCHMARKS}}, "stale"),
        ({"evaluation": {"benchmarks": {n: b | {"task": "gsm8k"} for n, b in BENCHMARKS.items()}}}, "stale"),
        ({"evaluation": {"benchmarks": {n: b | {"limit": 5} for n, b in BENCHMARKS.items()}}}, "stale"),
    ],
)
def test_status_after_changed_settings_is_stale(root: Path, changes: dict[str, Any], zero_shot: str) -> None:
    frame = collect.collect(an_experiment(**changes), root)
    assert set(rows(frame, "full", 0)["status"]) == {"stale"}
    assert set(rows(frame, "random+random", 1)["status"]) == {"stale"}
    assert set(rows(frame, "zero-shot")["status"]) == {zero_shot}


@pytest.mark.parametrize(
    ("recorded", "changes"),
    [
        ({"batch_tokens": 4096}, {"evaluation": {"batch_tokens": 4096, "benchmarks": BENCHMARKS}}),
        (
            {"device": "cuda"},
            {"device": "cuda", "evaluation": {"dtype": "float32", "benchmarks": BENCHMARKS}},
        ),
        (
            {"data": {"hub": None, "config": None, "split": "train", "revision": None, "path": "e.jsonl"}},
            {"evaluation": {"benchmarks": {n: b | {"data": {"path": "e.jsonl"}} for n, b in BENCHMARKS.items()}}},
        ),
    ],
)
def test_status_after_another_batch_device_or_file_is_stale(
    root: Path, recorded: dict[str, Any], changes: dict[str, Any]
) -> None:
    """One that does not say, of an older version, is not."""
    path = root / "evaluation/m/zero-shot/A.json"
    assert not stale_score(root, **changes)
    put(path, files.read_json(path) | recorded)
    assert not stale_score(root, **changes)
    assert stale_score(root)
    assert rows(collect.collect(an_experiment(), root), "zero-shot")["status"].to_dict() == {
        "A": "stale",
        "B": "done",
        "Avg": "stale",
    }


def test_status_of_a_retrained_cell_is_stale(root: Path) -> None:
    """A run that ended between the two; the job's report has the same settings as before."""
    report = root / "trained/m/full/seed0/training.json"
    made = files.read_json(report)

    def state() -> set[str]:
        return set(rows(collect.collect(an_experiment(), root), "full", 0)["status"])

    assert state() == {"done"}, "an older report, which does not say"
    put(report, made | {"weights": "full/seed0 weights"})
    assert state() == {"done"}
    put(report, made | {"weights": "others"})
    assert state() == {"stale"}
    for path in (root / "evaluation/m/full/seed0").glob("*.json"):
        put(path, files.read_json(path) | {"digests": {"model": "m"}})
    assert not stale(an_experiment(), root, Cell("m", "full", None, 0)), "older records, which do not say"


def test_status_after_another_base_model_is_stale(root: Path) -> None:
    manifest = files.read_json(root / "models/m.json")
    put(root / "models/m.json", manifest | {"digests": {"model": "m"}})
    assert set(rows(collect.collect(an_experiment(), root), "zero-shot")["status"]) == {"done"}
    put(root / "models/m.json", manifest | {"digests": {"model": "made anew"}})
    assert set(rows(collect.collect(an_experiment(), root), "zero-shot")["status"]) == {"stale"}


def test_status_of_failed_scoring_has_one_footnote(root: Path) -> None:
    put(root / "logs/score/m/1-of-1.log", "FAILED: out of memory\n")
    frame = collect.collect(an_experiment(), root)
    assert set(rows(frame, "full", 0)["status"]) == {"failed"}
    assert set(rows(frame, "zero-shot")["status"]) == {"done"}
    shown = table.build(root)
    assert shown.footnotes == [f"8 cells: score failed, see {root / 'logs/score/m/1-of-1.log'}"]


def test_status_ignores_shards_older_than_the_scores(root: Path) -> None:
    """An earlier attempt, perhaps with another number of shards."""
    put(root / "logs/score/m/3-of-4.log", "FAILED: out of memory\n")
    put(root / "logs/gather_scores/m.log", "done in 1.0 s\n")
    os.utime(root / "logs/score/m/3-of-4.log", (1e9, 1e9))
    assert set(rows(collect.collect(an_experiment(), root), "full", 0)["status"]) == {"done"}
    put(root / "logs/score/m/1-of-2.log", "FAILED: out of memory\n")
    os.utime(root / "logs/gather_scores/m.log", (2e9, 2e9))
    os.utime(root / "logs/score/m/1-of-2.log", (2e9 + 1, 2e9 + 1))
    assert set(rows(collect.collect(an_experiment(), root), "full", 0)["status"]) == {"failed"}


def test_failure_names_a_step_that_raised_or_was_killed(root: Path) -> None:
    experiment = an_experiment()
    frame = collect.collect(experiment, root)
    failures = status.failures(experiment, root)
    for seed in (0, 1):
        assert set(rows(frame, "q0", seed)["status"]) == {"failed"}
    logs = [root / f"logs/train/m/s0.125-t0.5/q0/seed{seed}.log" for seed in (0, 1)]
    assert [tuple(failed) for failed in failures.values()] == [("train", log) for log in logs]
    assert status.failure(an_experiment(), Files(root), Cell("m", "full", None, 1)) is None
    assert set(rows(frame, "full", 1)["status"]) == {"missing"}


def test_failure_of_an_empty_log(tmp_path: Path) -> None:
    put(tmp_path / "logs/evaluate/m/zero-shot.log", "")
    assert status.failure(an_experiment(), Files(tmp_path), Cell("m", "zero-shot")) == (
        "evaluate",
        tmp_path / "logs/evaluate/m/zero-shot.log",
    )


@pytest.mark.parametrize(
    ("log", "variants"),
    [
        ("extra_score/m/ifd.log", {"ifd+ppl"}),
        ("extra_score/m/reference_nll.log", {"random+rho1"}),
        ("model/m@reference.log", {"random+rho1"}),
        ("prune/m/s0.125-t0.5/qtuning/seed0.log", {"qtuning", "even"}),
    ],
)
def test_failure_of_a_step_that_some_variants_need(tmp_path: Path, log: str, variants: set[str]) -> None:
    experiment = an_experiment(
        models={"m": {"hub": "org/m", "reference": {"hub": "org/r"}}},
        variants=["ifd+ppl", "random+rho1", "qtuning", {"even": {"method": "random+random", "match": "qtuning"}}],
        seeds=[0],
    )
    put(tmp_path / "logs" / log, "FAILED: boom\n")
    actual = status.failures(experiment, tmp_path)
    assert {cell.variant for cell in actual} == variants
    assert {failed.log for failed in actual.values()} == {tmp_path / "logs" / log}


def test_status_of_an_older_selection_is_stale(root: Path) -> None:
    path = root / "pruned/m/s0.125-t0.5/random+ppl/seed0/selection.json"
    old = json.loads(path.read_text())
    del old["match"]
    put(path, old)
    frame = collect.collect(an_experiment(), root)
    own = frame[(frame["variant"] == "random+ppl") & (frame["seed"] == 0)]
    assert set(own["status"]) == {"stale"}


def test_status_of_a_model_of_another_selection_is_stale(root: Path) -> None:
    at = "m/s0.125-t0.5/random+ppl/seed0"
    selection, report = root / "pruned" / at / "selection.parquet", root / "trained" / at / "training.json"
    put(selection, "the selection")
    cell = next(cell for cell in grid.cells(an_experiment()) if f"m/{cell.path}" == at)
    made = json.loads(report.read_text())
    put(report, made | {"selection": files.sha256(selection)})
    assert not stale(an_experiment(), root, cell)
    put(selection, "another selection")
    assert stale(an_experiment(), root, cell)


def test_status_follows_that_of_the_match(tmp_path: Path) -> None:
    variants = ["qtuning", {"even": {"method": "random+random", "match": "qtuning"}}]
    made = an_experiment(variants=variants, seeds=[0])
    shared_files(tmp_path, made)
    for cell in grid.cells(made):
        finish(tmp_path, cell, 1.0, experiment=made)
    even = next(cell for cell in grid.cells(made) if cell.variant == "even")
    assert not stale(made, tmp_path, even)
    variants[0] = {"qtuning": {"method": "qtuning", "neighbor_lambda": 0}}
    assert stale(an_experiment(variants=variants, seeds=[0]), tmp_path, even)


def test_status_after_another_reference_model_is_stale(tmp_path: Path) -> None:
    given = {"variants": ["random+rho1"], "seeds": [0]}
    made, other = (
        an_experiment(models={"m": {"hub": "o/m", "reference": {"hub": name}}}, **given) for name in ("o/r", "o/s")
    )
    shared_files(tmp_path, made)
    put(tmp_path / "models/m@reference.json", {"source": made.sources["m@reference"].model_dump(mode="json")})
    (cell,) = (cell for cell in grid.cells(made) if cell.pruned)
    finish(tmp_path, cell, 1.0, experiment=made)
    assert not stale(made, tmp_path, cell)
    assert stale(other, tmp_path, cell)


def variants(neighbor_lambda: float, mode: str = "dynamic") -> list[Any]:
    qtuning = {"method": "qtuning", "mode": mode, "neighbor_lambda": neighbor_lambda}
    return [{"q": qtuning}, {"equal": {"method": "random+random", "mode": mode, "match": "q"}}]


def test_status_of_dynamic_cells_reads_the_training_folder(tmp_path: Path) -> None:
    experiment = an_experiment(variants=variants(0.5), references=[], seeds=[0])
    shared_files(tmp_path, experiment)
    for cell in grid.cells(experiment):
        finish(tmp_path, cell, 10, 20, experiment=experiment)
    put(tmp_path / "logs/prune/m/s0.125-t0.5/q/seed0.log", "of an earlier, static run\nFAILED: boom\n")
    frame = collect.collect(experiment, tmp_path)
    assert not (tmp_path / "pruned").exists()
    assert set(frame["status"]) == {"done"}
    assert set(frame["mode"]) == {"dynamic"}
    assert set(frame["realised_sample_ratio"]) == {0.12}
    other = collect.collect(an_experiment(variants=variants(0.25), references=[], seeds=[0]), tmp_path)
    assert set(rows(other, "equal", 0)["status"]) == {"stale"}, "its match prunes otherwise now"
    static = collect.collect(an_experiment(variants=variants(0.5, "static"), references=[], seeds=[0]), tmp_path)
    assert set(static["status"]) == {"failed"}, "a static one needs the prune job that failed"
