"""Collecting a results folder made by hand: statuses, arithmetic, damage, and the Parquet file."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from prunegrid.core.files import read_json, write_json
from prunegrid.experiment import grid
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.table import build as table
from support.errors import refused
from support.results_folder import an_experiment, finish, put, rows, shared_files

CONTRACT = """
experiment dataset model sample_ratio token_ratio sample_pruner token_pruner variant mode removal seed
protocol benchmark metric score delta n_items realised_sample_ratio realised_token_ratio trained_tokens
steps sample_passes end_tokens train_seconds scoring_seconds gpu_hours status
"""


def test_collect_gives_one_typed_row_per_cell_and_benchmark(root: Path) -> None:
    frame = collect.collect(an_experiment(), root)
    assert list(frame.columns) == CONTRACT.split()
    assert len(frame) == (1 + 3 * 2 + 2) * 3
    assert frame["benchmark"].tolist()[:3] == ["A", "B", "Avg"]
    assert {str(frame[name].dtype) for name in ("seed", "n_items", "trained_tokens")} == {"Int64"}
    assert {str(frame[name].dtype) for name in ("score", "delta", "sample_ratio")} == {"float64"}
    assert {str(frame[name].dtype) for name in ("variant", "token_pruner", "status")} == {"string"}
    assert set(frame["mode"]) == {"static"}
    assert set(frame["protocol"]) == {"harness"}


def test_deltas_are_against_the_same_seed(root: Path) -> None:
    ppl = rows(collect.collect(an_experiment(), root), "random+ppl", 0)
    assert ppl["score"].to_dict() == {"A": 30.25, "B": 38, "Avg": 34.125}
    assert ppl["delta"].to_dict() == {"A": 0.25, "B": -2, "Avg": -0.875}
    assert ppl["metric"].tolist() == ["acc", "acc", "mean"]
    assert ppl["n_items"].tolist() == [200, 50, pd.NA]


def test_average_of_an_unfinished_cell_is_null(root: Path) -> None:
    ppl = rows(collect.collect(an_experiment(), root), "random+ppl", 1)
    assert ppl["status"].tolist() == ["done", "missing", "missing"]
    assert ppl.loc["A", "delta"] == 4
    assert ppl.loc["Avg", ["score", "delta"]].isna().all()


def test_deltas_of_references_and_baseline_are_null(root: Path) -> None:
    frame = collect.collect(an_experiment(), root)
    for variant, seed in (("zero-shot", None), ("full", 0), ("random+random", 0), ("random+random", 1)):
        cell = rows(frame, variant, seed)
        assert cell["delta"].isna().all()
        assert cell["score"].notna().all()


def test_collect_describes_reference_cells(root: Path) -> None:
    frame = collect.collect(an_experiment(), root)
    null = ["sample_ratio", "token_ratio", "token_pruner", "removal"]
    zero, full = rows(frame, "zero-shot").loc["A"], rows(frame, "full", 0).loc["A"]
    assert zero[[*null, "realised_sample_ratio", "realised_token_ratio", "trained_tokens"]].isna().all()
    assert full[null].isna().all()
    assert (zero["sample_pruner"], full["sample_pruner"]) == ("zero-shot", "full")
    assert full[["realised_sample_ratio", "realised_token_ratio"]].tolist() == [1, 1]
    assert full[["trained_tokens", "train_seconds"]].tolist() == [1234, 5.5]


def test_collect_describes_pruned_cells(root: Path) -> None:
    frame = collect.collect(an_experiment(), root)
    ppl, q0 = rows(frame, "random+ppl", 0).loc["A"], rows(frame, "q0", 0).loc["A"]
    pruners = ["sample_pruner", "token_pruner", "removal"]
    assert ppl[pruners].tolist() == ["random", "ppl", "mask"]
    assert q0[pruners].tolist() == ["qtuning", pd.NA, "drop"]
    assert ppl[["sample_ratio", "token_ratio"]].tolist() == [0.125, 0.5]
    assert ppl[["realised_sample_ratio", "realised_token_ratio"]].tolist() == [0.12, 0.51]


def test_counts_that_an_older_training_lacks_are_blank(root: Path, tmp_path: Path) -> None:
    """And they are in a results.parquet of that age, which still reads."""
    counts = {"steps": 12, "sample_passes": 30, "end_tokens": 29}
    path = root / "trained/m/full/seed0/training.json"
    write_json(path, read_json(path) | counts)
    frame = collect.collect(an_experiment(), root)
    full, other = rows(frame, "full", 0).loc["A"], rows(frame, "random+ppl", 0).loc["A"]
    assert full[list(counts)].tolist() == list(counts.values())
    assert other[["sample_passes", "end_tokens"]].isna().all()
    frame.drop(columns=list(counts)).to_parquet(tmp_path / "older.parquet", index=False)
    expected = collect.tidy(frame.drop(columns=list(counts)).to_dict("records"))
    pd.testing.assert_frame_equal(collect.read(tmp_path / "older.parquet"), expected)
    frame.drop(columns="score").to_parquet(tmp_path / "damaged.parquet", index=False)
    with refused(tmp_path / "damaged.parquet", "score"):
        collect.read(tmp_path / "damaged.parquet")


def test_collect_of_an_empty_folder_is_all_missing(tmp_path: Path) -> None:
    frame = collect.collect(an_experiment(), tmp_path)
    assert set(frame["status"]) == {"missing"}
    assert frame[["score", "delta"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("evaluation/m/zero-shot/A.json", '{"score": 3', "JSON"),
        ("evaluation/m/zero-shot/A.json", {"score": 3}, "protocol, metric, score, n_items"),
        ("evaluation/m/zero-shot/A.json", [1], "protocol"),
        ("trained/m/full/seed0/training.json", {}, "trained_tokens, seconds"),
        ("pruned/m/s0.125-t0.5/random+ppl/seed0/selection.json", {"realised": 1}, "realised.samples"),
    ],
)
def test_collect_names_a_damaged_file_with_its_repair(root: Path, file: str, content: Any, what: str) -> None:
    put(root / file, content)
    with refused(root / file, what, fix=f"rm {root / file}"):
        collect.collect(an_experiment(), root)


def test_collect_refuses_a_score_that_is_no_number(root: Path) -> None:
    finish(root, Cell("m", "zero-shot"), float("nan"))
    with refused(root / "evaluation/m/zero-shot/A.json", "nan", fix="rm "):
        collect.collect(an_experiment(), root)


PLAIN = "random+random"


def test_baselines_have_the_same_mode_and_removal() -> None:
    optioned = {"q": {"method": "qtuning", "neighbor_lambda": 0}}
    dropped = {"rr-drop": {"method": PLAIN, "removal": "drop"}}
    dynamic = {"rr-dynamic": {"method": PLAIN, "mode": "dynamic"}}
    assert collect.baselines(an_experiment()) == dict.fromkeys(("random+random", "random+ppl", "q0"), PLAIN)
    q_drop = {"q-drop": {"method": "qtuning", "removal": "drop"}}
    assert collect.baselines(an_experiment(variants=[PLAIN, dropped, dynamic, "qtuning", q_drop])) == {
        PLAIN: PLAIN,
        "rr-drop": "rr-drop",
        "rr-dynamic": "rr-dynamic",
        "qtuning": PLAIN,
        "q-drop": "rr-drop",
    }
    named = an_experiment(variants=[dropped, {"rr": {"method": PLAIN}}, {"rr2": {"method": PLAIN}}])
    assert collect.baselines(named) == {"rr-drop": "rr-drop", "rr": "rr", "rr2": "rr"}
    assert collect.baselines(an_experiment(variants=[dropped, "qtuning"]))["qtuning"] == "rr-drop"
    assert collect.baselines(an_experiment(variants=[optioned])) == {}


def test_baselines_have_the_same_reading() -> None:
    copy = {"reading": "authors-2025-09", "mode": "dynamic"}
    variants = [PLAIN, "qtuning", {"rr-copy": {"method": PLAIN, **copy}}, {"q-copy": {"method": "qtuning", **copy}}]
    expected = {PLAIN: PLAIN, "qtuning": PLAIN, "rr-copy": "rr-copy", "q-copy": "rr-copy"}
    assert collect.baselines(an_experiment(variants=variants)) == expected


def test_deltas_without_baseline_are_null(tmp_path: Path) -> None:
    experiment = an_experiment(variants=["qtuning"])
    shared_files(tmp_path, experiment)
    for cell in grid.cells(experiment):
        finish(tmp_path, cell, 1, 2, experiment=experiment)
    frame = collect.collect(experiment, tmp_path)
    assert set(frame["status"]) == {"done"}
    assert frame["delta"].isna().all()


def test_parquet_round_trip(root: Path, tmp_path: Path) -> None:
    frame = collect.collect(an_experiment(), root)
    path = tmp_path / "out" / "results.parquet"
    collect.write(frame, path)
    pd.testing.assert_frame_equal(collect.read(path), frame)
    pd.testing.assert_frame_equal(pd.read_parquet(path), frame)
    assert pq.read_schema(path).remove_metadata().equals(collect.SCHEMA)
    assert [file.name for file in path.parent.iterdir()] == ["results.parquet"]


def test_collect_types_do_not_depend_on_the_files(tmp_path: Path) -> None:
    collect.write(collect.collect(an_experiment(), tmp_path), tmp_path / "results.parquet")
    assert pq.read_schema(tmp_path / "results.parquet").remove_metadata().equals(collect.SCHEMA)


def test_collect_needs_the_folder_alone(root: Path) -> None:
    frame = collect.collect_from(root)
    pd.testing.assert_frame_equal(frame, collect.collect(an_experiment(), root))
    shown = table.build(root)
    assert len(shown.footnotes) == 2
    pd.testing.assert_frame_equal(collect.read(root / "results.parquet"), frame)
    assert {path.name for path in (root / "table").iterdir()} == {
        f"table.{ending}" for ending in ("md", "csv", "tex", "html")
    }


def test_collect_refuses_another_folder(tmp_path: Path) -> None:
    with refused(tmp_path, "experiment.json", fix="results/<experiment>"):
        collect.collect_from(tmp_path)
