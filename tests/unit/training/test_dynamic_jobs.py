"""Whole jobs in dynamic mode: their logs, summaries and probes, with weights that stand still and that learn."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prunegrid.core.files import read_json
from prunegrid.experiment.training import Training
from prunegrid.selection.prune import prune
from prunegrid.training.dynamic_summary import LOG_SCHEMA
from support.dynamic_selection import expected_log, plan_of, pruning
from support.training_jobs import SETTINGS, run

STATIC_KEYS = ("nominal", "realised", "realised_token_ratio", "n_samples", "n_kept_samples", "kept_tokens", "counts")


@pytest.fixture(scope="module", autouse=True)
def started_warm(warm_module: None) -> None:
    """All jobs of this module; test_resume.py and test_failures.py have those that start as users' do."""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, scores: Path) -> Path:
    """A whole job of two ranks whose weights stand still."""
    out = tmp_path_factory.mktemp("still")
    run(out, tiny_model, scores, pruning=pruning("qtuning"), **FROZEN)
    return out


FROZEN = {"mode": "dynamic", "learning_rate": 0, "ranks": 2, "batch_tokens": 64}


def test_log_is_the_static_selection_of_all_mini_batches(frozen: Path, scores: Path) -> None:
    log = pq.read_table(frozen / "selection_log.parquet")
    settings = Training(**SETTINGS | FROZEN)
    assert log.to_pylist() == expected_log(scores, "qtuning", settings)
    assert log.schema.equals(LOG_SCHEMA)
    candidates = [
        {row for step in plan_of(scores, settings, rank)[:2] for batch in step for row in batch} for rank in range(2)
    ]
    assert not candidates[0] & candidates[1] and len(candidates[0] | candidates[1]) == 20, "an epoch sees each once"
    ids = pq.read_table(scores / "samples.parquet")["sample_id"].to_pylist()
    for row in log.to_pylist():
        own = plan_of(scores, settings, row["rank"])[row["step"]]
        assert row["sample_id"] in {ids[i] for batch in own for i in batch}, "a rank keeps of its own candidates"


def test_a_jobs_summary_follows_from_its_log(frozen: Path, scores: Path, tmp_path: Path) -> None:
    """Two epochs of 20 candidates: all counts are over 40."""
    log, summary = pq.read_table(frozen / "selection_log.parquet"), read_json(frozen / "selection.json")
    samples = {row["sample_id"]: row for row in pq.read_table(scores / "samples.parquet").to_pylist()}
    kept_of = [samples[number] for number in log["sample_id"].to_pylist()]
    tokens = pc.sum(log["kept"]).as_py()
    responses = 2 * sum(row["response_tokens"] for row in samples.values())
    prompts = 2 * sum(row["prompt_tokens"] for row in samples.values())
    assert summary["mode"] == "dynamic"
    assert (summary["n_samples"], summary["n_kept_samples"], summary["kept_tokens"]) == (40, len(log), tokens)
    assert summary["realised"] == pytest.approx(
        {
            "samples": len(log) / 40,
            "response_tokens": tokens / responses,
            "all_tokens": (sum(row["prompt_tokens"] for row in kept_of) + tokens) / (prompts + responses),
        }
    )
    assert summary["realised_token_ratio"] == pytest.approx(tokens / sum(row["response_tokens"] for row in kept_of))
    assert sum(summary["counts"]["quadrant"].values()) == sum(summary["counts"]["reason"].values()) == len(log)
    static = prune(scores, tmp_path, pruning("random+ppl"), 0).model_dump()
    assert set(summary) == {*static, "pruning"} - {"selection", "scores", "truncated", "only_end", "inputs"}, (
        "results read both alike"
    )
    assert {key: type(summary[key]) for key in STATIC_KEYS} == {key: type(static[key]) for key in STATIC_KEYS}


def test_probes_are_at_every_epochs_start_and_at_the_end(frozen: Path, scores: Path) -> None:
    report = read_json(frozen / "training.json")
    samples = pq.read_table(scores / "samples.parquet")
    assert [probe["step"] for probe in report["probes"]] == [0, 2, 4]
    for probe in report["probes"]:
        assert probe["ppl"] == pytest.approx(pc.mean(samples["ppl"]).as_py(), rel=1e-4)
        assert probe["entropy"] == pytest.approx(pc.mean(samples["entropy"]).as_py(), rel=1e-4)
    log = pq.read_table(frozen / "selection_log.parquet")
    assert report["trained_tokens"] == pc.sum(log["kept"]).as_py()
    assert report["kept_samples"] == len(log) / 2
    assert not (frozen / "selection.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "form"),
    [
        ("infobatch+fastv", {"zero_stage": 3, "ranks": 2}),
        ("entropy+sparsevlm", {"zero_stage": 3, "ranks": 2, "packing": False, "removal": "drop"}),
        ("qtuning", {"method": "lora", "gradient_checkpointing": True}),
        ("random+ppl", {"gradient_accumulation_steps": 1, "max_steps": 7, "removal": "drop"}),
    ],
)
def test_jobs_of_other_forms_log_the_same(
    method: str, form: dict[str, Any], tmp_path: Path, tiny_model: Path, scores: Path
) -> None:
    form = {"mode": "dynamic", "learning_rate": 0, "batch_tokens": 64} | form
    run(tmp_path, tiny_model, scores, pruning=pruning(method), **form)
    log = pq.read_table(tmp_path / "selection_log.parquet").to_pylist()
    assert log == expected_log(scores, method, Training(**SETTINGS | form))


@pytest.mark.slow
@pytest.mark.parametrize("form", [{"removal": "drop"}, {"method": "lora", "learning_rate": 0.1}], ids=str)
def test_learning_weights_select_by_what_they_learned(
    form: dict[str, Any], tmp_path: Path, tiny_model: Path, scores: Path
) -> None:
    """The first mini-batches see the base model, later ones do not; the probes show it growing surer."""
    form = {"mode": "dynamic", "learning_rate": 1e-2, "warmup_ratio": 0, "num_train_epochs": 4} | form
    report = run(tmp_path, tiny_model, scores, pruning=pruning("infobatch+ppl"), **form)
    log = pq.read_table(tmp_path / "selection_log.parquet").to_pylist()
    static = expected_log(scores, "infobatch+ppl", Training(**SETTINGS | form))
    assert [row for row in log if row["step"] == 0] == [row for row in static if row["step"] == 0]
    assert {(row["step"], row["sample_id"]) for row in log} != {(row["step"], row["sample_id"]) for row in static}
    assert report["probes"][-1]["ppl"] < 0.8 * report["probes"][0]["ppl"]
    assert len(report["probes"]) == 5
