"""Collecting a results folder made by hand: statuses, arithmetic, damage, and the Parquet file."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from prunegrid import config, grid, io, pruners, results, status, table
from prunegrid.config import Experiment
from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell

ITEMS = {"A": 200, "B": 50}
CONTRACT = """
experiment dataset model sample_ratio token_ratio sample_pruner token_pruner variant mode removal seed
protocol benchmark metric score delta n_items realised_sample_ratio realised_token_ratio trained_tokens
train_seconds status
"""


def an_experiment(**changes: Any) -> Experiment:
    values = {
        "experiment": "tiny",
        "models": {"m": {"path": "somewhere"}},
        "dataset": {"name": "world", "path": "world.jsonl"},
        "budgets": [{"sample_ratio": 0.125, "token_ratio": 0.5}],
        "variants": ["random+random", "random+ppl", {"q0": {"method": "qtuning", "removal": "drop"}}],
        "seeds": [0, 1],
        "evaluation": {"benchmarks": {name: {"task": "arc_easy", "data": {"path": "d.jsonl"}} for name in ITEMS}},
    }
    return config.load(values | changes)


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


DIGESTS = {"model": "m", "data": "d"}


def shared_files(root: Path, experiment: Experiment) -> None:
    """What all cells of the model share."""
    put(root / "models/m.json", {"source": experiment.sources["m"].model_dump(mode="json")})
    put(root / "data/world.json", {"source": experiment.dataset.model_dump(mode="json")})
    put(root / "scores/m/meta.json", {"max_length": 2048, "dtype": "float32", "digests": DIGESTS})


def finish(root: Path, cell: Cell, *scores: float, experiment: Experiment | None = None) -> None:
    """Leave what a cell's steps leave, with these scores of the first benchmarks."""
    at, experiment = Path(cell.model, cell.path), experiment or an_experiment()
    if cell.budget:
        variant = experiment.variant(cell.variant)
        selection = {
            "method": variant.method,
            "options": pruners.filled(variant.method, variant.options),
            "match": variant.match,
            "nominal": {"samples": cell.budget.sample_ratio, "tokens": cell.budget.token_ratio},
            "seeds": {"cell": cell.seed},
            "realised": {"samples": 0.12, "all_tokens": 0.3},
            "realised_token_ratio": 0.51,
        }
        put(root / "pruned" / at / "selection.json", selection)
    if cell.trained:
        training = grid.training_of(experiment, cell).model_dump(mode="json")
        made = {
            "training": training,
            "seed": cell.seed,
            "digests": DIGESTS,
            "trained_tokens": 1234,
            "seconds": 5.5,
            "steps": 7,
        }
        put(root / "trained" / at / "training.json", made)
    for (name, items), score in zip(ITEMS.items(), scores, strict=False):
        record = {"benchmark": name, "protocol": "harness", "metric": "acc", "score": score, "n_items": items}
        record |= {"task": "arc_easy", "limit": None, "dtype": "float32"}
        put(root / "evaluation" / at / f"{name}.json", record)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Zero-shot, full/seed0, random+random are done; of the rest one is half done, one failed, one killed."""
    experiment = an_experiment()
    put(tmp_path / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(tmp_path, experiment)
    cells = {cell.path: cell for cell in grid.cells(experiment)}
    finish(tmp_path, cells["zero-shot"], 10, 20)
    finish(tmp_path, cells["full/seed0"], 50, 60.5)
    finish(tmp_path, cells["s0.125-t0.5/random+random/seed0"], 30, 40)
    finish(tmp_path, cells["s0.125-t0.5/random+random/seed1"], 31, 43)
    finish(tmp_path, cells["s0.125-t0.5/random+ppl/seed0"], 30.25, 38)
    finish(tmp_path, cells["s0.125-t0.5/random+ppl/seed1"], 35)
    logs = tmp_path / "logs"
    put(logs / "prune/m/s0.125-t0.5/q0/seed0.log", "1000 samples\ndone in 0.1 s\n\n")
    put(logs / "train/m/s0.125-t0.5/q0/seed0.log", "step 1\nFAILED: CUDA out of memory\n")
    put(logs / "train/m/s0.125-t0.5/q0/seed1.log", "step 1\n")
    return tmp_path


def rows(frame: pd.DataFrame, variant: str, seed: int | None = None) -> pd.DataFrame:
    """The cell's rows, by benchmark."""
    same = frame["seed"].isna() if seed is None else frame["seed"] == seed
    return frame[(frame["variant"] == variant) & same].set_index("benchmark")


def test_one_typed_row_per_cell_and_benchmark(root: Path) -> None:
    frame = results.collect(an_experiment(), root)
    assert list(frame.columns) == CONTRACT.split()
    assert len(frame) == (1 + 3 * 2 + 2) * 3
    assert frame["benchmark"].tolist()[:3] == ["A", "B", "Avg"]
    assert {str(frame[name].dtype) for name in ("seed", "n_items", "trained_tokens")} == {"Int64"}
    assert {str(frame[name].dtype) for name in ("score", "delta", "sample_ratio")} == {"float64"}
    assert {str(frame[name].dtype) for name in ("variant", "token_pruner", "status")} == {"string"}
    assert set(frame["mode"]) == {"static"}
    assert set(frame["protocol"]) == {"harness"}


def test_delta_is_against_the_same_seed(root: Path) -> None:
    ppl = rows(results.collect(an_experiment(), root), "random+ppl", 0)
    assert ppl["score"].to_dict() == {"A": 30.25, "B": 38, "Avg": 34.125}
    assert ppl["delta"].to_dict() == {"A": 0.25, "B": -2, "Avg": -0.875}
    assert ppl["metric"].tolist() == ["acc", "acc", "mean"]
    assert ppl["n_items"].tolist() == [200, 50, pd.NA]


def test_a_failed_rerun_hides_the_old_score(root: Path) -> None:
    """Snakemake removes the failed job's outputs only: the old evaluation still lies there."""
    put(root / "logs/train/m/s0.125-t0.5/random+random/seed0.log", "FAILED: boom\n")
    frame = results.collect(an_experiment(), root)
    failed = rows(frame, "random+random", 0)
    assert set(failed["status"]) == {"failed"}
    assert failed["score"].isna().all()
    assert rows(frame, "random+ppl", 0)["delta"].isna().all(), "no delta against a score that is not there"


@pytest.mark.parametrize("lost", ["trained/m/full/seed0/training.json", "pruned/m/{cell}/selection.json"])
def test_a_score_without_its_model_or_selection_is_stale(root: Path, lost: str) -> None:
    (root / lost.format(cell="s0.125-t0.5/random+ppl/seed0")).unlink()
    frame = results.collect(an_experiment(), root)
    variant = "random+ppl" if "{cell}" in lost else "full"
    assert set(rows(frame, variant, 0)["status"]) == {"stale"}
    assert rows(frame, variant, 0)["score"].isna().all()
    assert set(rows(frame, "random+random", 0)["status"]) == {"done"}


def test_without_its_base_model_everything_is_stale(root: Path) -> None:
    (root / "models/m.json").unlink()
    assert "done" not in set(results.collect(an_experiment(), root)["status"])


BENCHMARKS = {name: {"task": "arc_easy", "data": {"path": "d.jsonl"}} for name in ITEMS}


@pytest.mark.parametrize(
    ("changes", "zero_shot"),
    [
        ({"training": {"learning_rate": 1}}, "done"),
        ({"scoring": {"max_length": 64}}, "done"),
        ({"dataset": {"name": "world", "path": "world.jsonl", "max_samples": 5}}, "done"),
        ({"models": {"m": {"path": "elsewhere"}}}, "stale"),
        ({"evaluation": {"dtype": "bfloat16", "benchmarks": BENCHMARKS}}, "stale"),
        ({"evaluation": {"benchmarks": {n: b | {"task": "gsm8k"} for n, b in BENCHMARKS.items()}}}, "stale"),
        ({"evaluation": {"benchmarks": {n: b | {"limit": 5} for n, b in BENCHMARKS.items()}}}, "stale"),
    ],
)
def test_scores_made_with_other_settings_are_stale(root: Path, changes: dict[str, Any], zero_shot: str) -> None:
    frame = results.collect(an_experiment(**changes), root)
    assert set(rows(frame, "full", 0)["status"]) == {"stale"}
    assert set(rows(frame, "random+random", 1)["status"]) == {"stale"}
    assert set(rows(frame, "zero-shot")["status"]) == {zero_shot}


def test_a_failed_score_fails_what_is_trained_on_it_with_one_footnote(root: Path) -> None:
    put(root / "logs/score/m/1-of-1.log", "FAILED: out of memory\n")
    frame = results.collect(an_experiment(), root)
    assert set(rows(frame, "full", 0)["status"]) == {"failed"}
    assert set(rows(frame, "zero-shot")["status"]) == {"done"}
    shown = table.build(root)
    assert shown.footnotes == [f"8 cells: score did not end well, see {root / 'logs/score/m/1-of-1.log'}"]


def test_a_shard_that_failed_before_the_scores_were_gathered_is_forgotten(root: Path) -> None:
    """An earlier attempt, perhaps with another number of shards."""
    put(root / "logs/score/m/3-of-4.log", "FAILED: out of memory\n")
    put(root / "logs/gather_scores/m.log", "done in 1.0 s\n")
    os.utime(root / "logs/score/m/3-of-4.log", (1e9, 1e9))
    assert set(rows(results.collect(an_experiment(), root), "full", 0)["status"]) == {"done"}
    put(root / "logs/score/m/1-of-2.log", "FAILED: out of memory\n")
    os.utime(root / "logs/gather_scores/m.log", (2e9, 2e9))
    os.utime(root / "logs/score/m/1-of-2.log", (2e9 + 1, 2e9 + 1))
    assert set(rows(results.collect(an_experiment(), root), "full", 0)["status"]) == {"failed"}


def test_a_half_done_cell_has_no_average(root: Path) -> None:
    ppl = rows(results.collect(an_experiment(), root), "random+ppl", 1)
    assert ppl["status"].tolist() == ["done", "missing", "missing"]
    assert ppl.loc["A", "delta"] == 4
    assert ppl.loc["Avg", ["score", "delta"]].isna().all()


def test_reference_cells_and_the_baseline_have_no_delta(root: Path) -> None:
    frame = results.collect(an_experiment(), root)
    for variant, seed in (("zero-shot", None), ("full", 0), ("random+random", 0), ("random+random", 1)):
        cell = rows(frame, variant, seed)
        assert cell["delta"].isna().all()
        assert cell["score"].notna().all()


def test_what_reference_cells_are(root: Path) -> None:
    frame = results.collect(an_experiment(), root)
    null = ["sample_ratio", "token_ratio", "token_pruner", "removal"]
    zero, full = rows(frame, "zero-shot").loc["A"], rows(frame, "full", 0).loc["A"]
    assert zero[[*null, "realised_sample_ratio", "realised_token_ratio", "trained_tokens"]].isna().all()
    assert full[null].isna().all()
    assert (zero["sample_pruner"], full["sample_pruner"]) == ("zero-shot", "full")
    assert full[["realised_sample_ratio", "realised_token_ratio"]].tolist() == [1, 1]
    assert full[["trained_tokens", "train_seconds"]].tolist() == [1234, 5.5]


def test_what_pruned_cells_are(root: Path) -> None:
    frame = results.collect(an_experiment(), root)
    ppl, q0 = rows(frame, "random+ppl", 0).loc["A"], rows(frame, "q0", 0).loc["A"]
    pruners = ["sample_pruner", "token_pruner", "removal"]
    assert ppl[pruners].tolist() == ["random", "ppl", "mask"]
    assert q0[pruners].tolist() == ["qtuning", pd.NA, "drop"]
    assert ppl[["sample_ratio", "token_ratio"]].tolist() == [0.125, 0.5]
    assert ppl[["realised_sample_ratio", "realised_token_ratio"]].tolist() == [0.12, 0.51]


def test_a_step_that_raised_or_was_killed_is_failed_and_named(root: Path) -> None:
    experiment = an_experiment()
    frame = results.collect(experiment, root)
    failures = status.failures(experiment, root)
    for seed in (0, 1):
        assert set(rows(frame, "q0", seed)["status"]) == {"failed"}
    logs = [root / f"logs/train/m/s0.125-t0.5/q0/seed{seed}.log" for seed in (0, 1)]
    assert [tuple(failed) for failed in failures.values()] == [("train", log) for log in logs]
    assert status.failure(an_experiment(), root, Cell("m", "full", None, 1)) is None
    assert set(rows(frame, "full", 1)["status"]) == {"missing"}


def test_an_empty_log_is_a_failure(tmp_path: Path) -> None:
    put(tmp_path / "logs/evaluate/m/zero-shot.log", "")
    assert status.failure(an_experiment(), tmp_path, Cell("m", "zero-shot")) == (
        "evaluate",
        tmp_path / "logs/evaluate/m/zero-shot.log",
    )


def test_nothing_there_is_all_missing(tmp_path: Path) -> None:
    frame = results.collect(an_experiment(), tmp_path)
    assert set(frame["status"]) == {"missing"}
    assert frame[["score", "delta"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("evaluation/m/zero-shot/A.json", '{"score": 3', "not complete JSON"),
        ("evaluation/m/zero-shot/A.json", {"score": 3}, "lacks one of protocol, metric, score, n_items"),
        ("evaluation/m/zero-shot/A.json", [1], "lacks one of"),
        ("trained/m/full/seed0/training.json", {}, "lacks one of trained_tokens, seconds"),
        (
            "pruned/m/s0.125-t0.5/random+ppl/seed0/selection.json",
            {"realised": 1},
            "lacks one of realised.samples",
        ),
    ],
)
def test_a_damaged_file_is_named_with_its_repair(root: Path, file: str, content: Any, said: str) -> None:
    put(root / file, content)
    with pytest.raises(PrunegridError, match=said) as caught:
        results.collect(an_experiment(), root)
    assert str(caught.value).startswith(str(root / file))
    assert f"rm {root / file}" in str(caught.value)


def test_a_score_that_is_no_number_is_an_error(root: Path) -> None:
    finish(root, Cell("m", "zero-shot"), float("nan"))
    with pytest.raises(PrunegridError, match="score is nan"):
        results.collect(an_experiment(), root)


def test_the_baseline_is_the_plain_pair() -> None:
    optioned = {"q": {"method": "qtuning", "neighbor_lambda": 0}}
    dropped = {"rr-drop": {"method": "random+random", "removal": "drop"}}
    assert results.baseline(an_experiment()) == "random+random"
    assert results.baseline(an_experiment(variants=[dropped, {"rr": {"method": "random+random"}}])) == "rr"
    assert results.baseline(an_experiment(variants=[dropped])) == "rr-drop"
    assert results.baseline(an_experiment(variants=[optioned])) is None


def test_no_baseline_no_delta(tmp_path: Path) -> None:
    experiment = an_experiment(variants=["qtuning"])
    shared_files(tmp_path, experiment)
    for cell in grid.cells(experiment):
        finish(tmp_path, cell, 1, 2, experiment=experiment)
    frame = results.collect(experiment, tmp_path)
    assert set(frame["status"]) == {"done"}
    assert frame["delta"].isna().all()


def test_parquet_round_trip(root: Path, tmp_path: Path) -> None:
    frame = results.collect(an_experiment(), root)
    path = tmp_path / "out" / "results.parquet"
    results.write(frame, path)
    pd.testing.assert_frame_equal(results.read(path), frame)
    pd.testing.assert_frame_equal(pd.read_parquet(path), frame)
    assert pq.read_schema(path).remove_metadata().equals(results.SCHEMA)
    assert [file.name for file in path.parent.iterdir()] == ["results.parquet"]


def test_types_do_not_depend_on_what_is_there(tmp_path: Path) -> None:
    results.write(results.collect(an_experiment(), tmp_path), tmp_path / "results.parquet")
    assert pq.read_schema(tmp_path / "results.parquet").remove_metadata().equals(results.SCHEMA)


def test_a_results_folder_is_enough(root: Path) -> None:
    frame = results.collect_from(root)
    pd.testing.assert_frame_equal(frame, results.collect(an_experiment(), root))
    shown = table.build(root)
    assert len(shown.footnotes) == 2
    pd.testing.assert_frame_equal(results.read(root / "results.parquet"), frame)
    assert {path.name for path in (root / "table").iterdir()} == {"table.md", "table.csv", "table.html"}


def test_a_folder_that_is_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(PrunegridError, match=r"no experiment\.json.*results/<experiment>"):
        results.collect_from(tmp_path)


@pytest.mark.parametrize(
    ("log", "variants"),
    [
        ("extra_score/m/ifd.log", {"ifd+ppl"}),
        ("extra_score/m/reference_nll.log", {"random+rho1"}),
        ("model/m@reference.log", {"random+rho1"}),
        ("prune/m/s0.125-t0.5/qtuning/seed0.log", {"qtuning", "even"}),
    ],
)
def test_a_step_that_only_some_variants_need_fails_these(tmp_path: Path, log: str, variants: set[str]) -> None:
    experiment = an_experiment(
        models={"m": {"hub": "org/m", "reference": {"hub": "org/r"}}},
        variants=["ifd+ppl", "random+rho1", "qtuning", {"even": {"method": "random+random", "match": "qtuning"}}],
        seeds=[0],
    )
    put(tmp_path / "logs" / log, "FAILED: boom\n")
    found = status.failures(experiment, tmp_path)
    assert {cell.variant for cell in found} == variants
    assert {failed.log for failed in found.values()} == {tmp_path / "logs" / log}


def test_a_selection_of_an_older_version_is_stale_and_no_error(root: Path) -> None:
    path = root / "pruned/m/s0.125-t0.5/random+ppl/seed0/selection.json"
    old = json.loads(path.read_text())
    del old["match"]
    put(path, old)
    frame = results.collect(an_experiment(), root)
    own = frame[(frame["variant"] == "random+ppl") & (frame["seed"] == 0)]
    assert set(own["status"]) == {"stale"}


def test_a_model_of_another_selection_is_stale(root: Path) -> None:
    at = "m/s0.125-t0.5/random+ppl/seed0"
    selection, report = root / "pruned" / at / "selection.parquet", root / "trained" / at / "training.json"
    put(selection, "the selection")
    cell = next(cell for cell in grid.cells(an_experiment()) if f"m/{cell.path}" == at)
    made = json.loads(report.read_text())
    put(report, made | {"selection": io.sha256(selection)})
    assert not status.stale(an_experiment(), root, cell)
    put(selection, "another selection")
    assert status.stale(an_experiment(), root, cell)


def test_a_cell_is_stale_where_what_it_is_matched_to_is(tmp_path: Path) -> None:
    variants = ["qtuning", {"even": {"method": "random+random", "match": "qtuning"}}]
    made = an_experiment(variants=variants, seeds=[0])
    shared_files(tmp_path, made)
    for cell in grid.cells(made):
        finish(tmp_path, cell, 1.0, experiment=made)
    even = next(cell for cell in grid.cells(made) if cell.variant == "even")
    assert not status.stale(made, tmp_path, even)
    variants[0] = {"qtuning": {"method": "qtuning", "neighbor_lambda": 0}}
    assert status.stale(an_experiment(variants=variants, seeds=[0]), tmp_path, even)


def test_a_cell_is_stale_where_its_reference_model_is_another(tmp_path: Path) -> None:
    given = {"variants": ["random+rho1"], "seeds": [0]}
    made, other = (
        an_experiment(models={"m": {"hub": "o/m", "reference": {"hub": name}}}, **given) for name in ("o/r", "o/s")
    )
    shared_files(tmp_path, made)
    put(tmp_path / "models/m@reference.json", {"source": made.sources["m@reference"].model_dump(mode="json")})
    (cell,) = (cell for cell in grid.cells(made) if cell.pruned)
    finish(tmp_path, cell, 1.0, experiment=made)
    assert not status.stale(made, tmp_path, cell)
    assert status.stale(other, tmp_path, cell)
