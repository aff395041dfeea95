"""Whole training jobs: torchrun, DeepSpeed ZeRO, one and two ranks, on a tiny Llama and hand-made selections."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from prunegrid.config import Training
from prunegrid.draws import derive
from prunegrid.errors import PrunegridError
from prunegrid.io import read_json
from prunegrid.models import describe
from prunegrid.prune import prune
from prunegrid.train import Job, train
from prunegrid.train.batches import IGNORE, example, schedule
from prunegrid.train.trainer import collate, weighted_nll

SETTINGS: dict[str, Any] = {
    "method": "full",
    "learning_rate": 1e-2,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
}


def run(
    out: Path, model: Path, scores: Path, selection: Path | None = None, seed: int = 0, **settings: Any
) -> dict[str, Any]:
    job = Job(
        model=model,
        scores=scores,
        selection=selection,
        training=Training(**(SETTINGS | settings)),
        seed=seed,
        threads=2,
    )
    return train(job, out / "model", out / "training.json", describe(model)["digests"])


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Path:
    out = tmp_path_factory.mktemp("pruned")
    prune(
        scores,
        out,
        variant="r",
        method="random+random",
        options={},
        sample_ratio=0.5,
        token_ratio=0.5,
        seed=0,
    )
    return out / "selection.parquet"


def first_step(model: Path, scores: Path, selection: Path, training: Training) -> tuple[float, float]:
    """The contract's loss of the first global batch and its gradient's norm, in float64, sample by sample."""
    tokens = {row["sample_id"]: row for row in pq.read_table(scores / "tokens.parquet").to_pylist()}
    kept = pq.read_table(selection).to_pylist()
    ids = pq.read_table(selection)["sample_id"].to_numpy()
    rows = [
        i
        for rank in range(training.ranks)
        for batch in schedule(ids, len(tokens), training, derive(0, "data"), rank)[
            : training.gradient_accumulation_steps
        ]
        for i in batch
    ]
    weights = AutoModelForCausalLM.from_pretrained(model).double()
    total, count = torch.zeros((), dtype=torch.float64), 0
    for i in rows:
        sample = tokens[kept[i]["sample_id"]]
        row = example(sample["prompt_ids"], sample["response_ids"], kept[i]["kept"], 1.0, training.removal)
        batch = collate([row])
        labels, weight = batch.pop("labels"), batch.pop("weights")
        logits = weights(**batch, use_cache=False).logits
        total = total + weighted_nll(logits, labels, weight.double())
        count += int((labels != IGNORE).sum())
    loss = total / count
    loss.backward()
    return loss.item(), torch.stack([p.grad.norm() for p in weights.parameters()]).norm().item()


@pytest.mark.parametrize("removal", ["mask", "drop"])
def test_loss_is_the_whole_global_batch_over_ranks_and_micro_batches(
    removal: str, tmp_path: Path, tiny_model: Path, scores: Path, selection: Path
) -> None:
    report = run(tmp_path, tiny_model, scores, selection, ranks=2, removal=removal)
    training = Training(**(SETTINGS | {"ranks": 2, "removal": removal}))
    loss, norm = first_step(tiny_model, scores, selection, training)
    assert report["loss_curve"][0]["loss"] == pytest.approx(loss, rel=1e-5)
    assert report["loss_curve"][0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert report["steps"] == 2 * 2
    kept = sum(len(row) for row in pq.read_table(selection)["kept"].to_pylist())
    assert report["trained_tokens"] == 2 * kept
    assert report["candidate_samples"] == 20
    assert report["kept_samples"] == 10


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, scores: Path) -> Path:
    out = tmp_path_factory.mktemp("full")
    run(out, tiny_model, scores)
    return out


def test_full_data_set_learns_and_leaves_an_ordinary_model(full: Path, tiny_model: Path) -> None:
    report = read_json(full / "training.json")
    losses = [entry["loss"] for entry in report["loss_curve"]]
    assert losses[-1] < 0.8 * losses[0]
    assert report["trained_tokens"] == report["candidate_tokens"]
    assert sorted(file.name for file in (full / "model").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    trained = AutoModelForCausalLM.from_pretrained(full / "model")
    assert trained.dtype == torch.float32
    assert report["digests"]["model"] == describe(tiny_model)["digests"]["model"]


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(full: Path, tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    run(tmp_path / "a", tiny_model, scores)
    run(tmp_path / "b", tiny_model, scores, seed=1)
    first, again, other = (load_file(out / "model/model.safetensors") for out in (full, tmp_path / "a", tmp_path / "b"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 3])
def test_zero_stages_agree(stage: int, full: Path, tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """Two ranks of half the accumulation see the same global batches as the one-rank ZeRO-2 run."""
    run(tmp_path, tiny_model, scores, zero_stage=stage, ranks=2, gradient_accumulation_steps=1)
    one, two = (load_file(out / "model/model.safetensors") for out in (full, tmp_path))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=2e-4, rtol=1e-3)


def test_lora_leaves_an_adapter(tmp_path: Path, tiny_model: Path, scores: Path, selection: Path) -> None:
    run(tmp_path, tiny_model, scores, selection, method="lora")
    adapter = load_file(tmp_path / "model/adapter_model.safetensors")
    assert len(adapter) == 2 * 7 * 2
    assert all(tensor.shape[0] == 8 or tensor.shape[1] == 8 for tensor in adapter.values())
    assert json.loads((tmp_path / "model/adapter_config.json").read_text())["lora_alpha"] == 16
    assert not (tmp_path / "model/model.safetensors").exists()


def test_scores_of_another_model_are_refused(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    job = Job(model=tiny_model, scores=scores, training=Training(**SETTINGS), seed=0)
    with pytest.raises(PrunegridError, match="made for another model"):
        train(job, tmp_path / "model", tmp_path / "training.json", {"model": "0" * 64})
    assert list(tmp_path.iterdir()) == []


def test_missing_gpus_are_one_clear_line(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    if torch.cuda.device_count() >= 64:
        pytest.skip("this machine has 64 GPUs")
    job = Job(model=tiny_model, scores=scores, training=Training(**SETTINGS, ranks=64), seed=0, device="cuda")
    with pytest.raises(PrunegridError, match=r"64 GPU\(s\) are needed"):
        train(job, tmp_path / "model", tmp_path / "training.json")
