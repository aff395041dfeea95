"""Whole training jobs: torchrun, DeepSpeed ZeRO, one and two ranks, on a tiny Llama and hand-made selections."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils import clip_grad_norm_
from transformers import AutoModelForCausalLM, get_scheduler

from prunegrid.core.files import read_json
from prunegrid.evaluation.evaluate import load_model
from prunegrid.experiment.training import Training
from prunegrid.models import describe, weights_digest
from prunegrid.selection.prune import prune
from prunegrid.training import Job, train
from support import selections
from support.errors import refused
from support.handmade_scores import spec
from support.training_jobs import SETTINGS, contract_loss, load_float64, run, samples_of_steps

PLAIN: dict[str, Any] = {  # one step: weights before - weights after = learning rate x gradient
    "optim": "sgd",
    "learning_rate": 0.1,
    "lr_scheduler_type": "constant",
    "warmup_ratio": 0,
    "max_grad_norm": 1e9,
    "max_steps": 1,
}


@pytest.fixture(scope="module", autouse=True)
def started_warm(warm_module: None) -> None:
    """All jobs of this module; test_resume.py and test_failures.py have those that start as users' do."""


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Path:
    """Half of the samples, half of their tokens, and weights that are not 1."""
    out = tmp_path_factory.mktemp("pruned")
    prune(scores, out, spec("random+random"), 0)
    path = out / "selection.parquet"
    table = pq.read_table(path)
    weights = pa.array([0.5 + number % 3 for number in range(len(table))], pa.float32())
    selections.rewrite(path, table.set_column(table.schema.get_field_index("weight"), "weight", weights))
    return path


SEVERAL = {"packing": True, "batch_tokens": 64}
PADDED = {"packing": False}


@pytest.mark.parametrize(
    ("removal", "ranks", "form"),
    [
        ("mask", 2, SEVERAL),
        pytest.param("drop", 2, SEVERAL, marks=pytest.mark.slow),
        pytest.param("mask", 1, SEVERAL, marks=pytest.mark.slow),
        ("drop", 2, PADDED),
        pytest.param("mask", 2, PADDED, marks=pytest.mark.slow),
        pytest.param("drop", 1, PADDED, marks=pytest.mark.slow),
    ],
)
def test_a_step_is_one_global_batch_over_ranks_and_passes(
    removal: str, ranks: int, form: dict[str, Any], tmp_path: Path, tiny_model: Path, scores: Path, selection: Path
) -> None:
    """The loss, the gradient's norm and every weight's change are those of one batch in float64."""
    settings = PLAIN | form | {"removal": removal, "ranks": ranks, "zero_stage": 2}
    report = run(tmp_path, tiny_model, scores, selection, **settings)
    (samples,) = samples_of_steps(scores, selection, Training(**SETTINGS | settings))
    model = load_float64(tiny_model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = contract_loss(model, samples, removal)
    loss.backward()
    gradient = {name: p.grad for name, p in model.named_parameters()}
    norm = torch.stack([g.norm() for g in gradient.values()]).norm().item()
    assert report["loss_curve"][0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert report["loss_curve"][0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
    after = load_file(tmp_path / "model/model.safetensors")
    for name, expected in gradient.items():
        actual = (before[name] - after[name].double()) / 0.1
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * expected.abs().max().item() + 2e-6)
    assert report["passes"] > ranks, "several passes are what is tested"
    assert report["trained_tokens"] == sum(len(row["kept"]) for row in samples)


@pytest.mark.slow
def test_several_steps_are_those_of_torchs_adamw(
    tmp_path: Path, tiny_model: Path, scores: Path, selection: Path
) -> None:
    """Moments, epsilon, decay, clipping, warm-up and schedule arrive where they are meant to: float64, no DeepSpeed."""
    settings = {
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-3,
        "weight_decay": 0.2,
        "max_grad_norm": 0.5,
        "warmup_ratio": 0.3,
        "lr_scheduler_type": "linear",
        "max_steps": 5,
    }
    run(tmp_path, tiny_model, scores, selection, **settings)
    training = Training(**SETTINGS | settings)
    model = load_float64(tiny_model)
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if "norm" not in name], "weight_decay": 0.2},
        {"params": [p for name, p in named if "norm" in name], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.8, 0.9), eps=1e-3)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=2, num_training_steps=5)
    for samples in samples_of_steps(scores, selection, training):
        optimizer.zero_grad()
        contract_loss(model, samples, "mask").backward()
        clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
    actual = load_file(tmp_path / "model/model.safetensors")
    for name, expected in named:
        torch.testing.assert_close(actual[name].double(), expected.detach(), rtol=0, atol=2e-5, msg=name)


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
    assert report["padding"] == 0, "packed"
    assert report["weights"] == weights_digest(full / "model")
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
    assert trained.config._attn_implementation == "sdpa", "the packed attention is training's own affair"
    assert report["digests"]["model"] == describe(tiny_model)["digests"]["model"]
    assert not (full / "checkpoints").exists()


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(full: Path, tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    run(tmp_path / "a", tiny_model, scores)
    run(tmp_path / "b", tiny_model, scores, seed=1)
    first, repeated, other = (
        load_file(out / "model/model.safetensors") for out in (full, tmp_path / "a", tmp_path / "b")
    )
    assert all(torch.equal(first[name], repeated[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    [
        *({"zero_stage": stage, "ranks": 1, "batch_tokens": 64} for stage in (0, 1, 3)),
        *(
            {"zero_stage": stage, "ranks": 2, "gradient_accumulation_steps": 1, "batch_tokens": 64}
            for stage in (0, 1, 2, 3)
        ),
        {"packing": False},
        {"batch_tokens": 80},
        {"gradient_checkpointing": True},
    ],
    ids=lambda form: "-".join(f"{key}={value}" for key, value in form.items()),
)
def test_how_a_job_runs_decides_no_weight(
    form: dict[str, Any], full: Path, tmp_path: Path, tiny_model: Path, scores: Path
) -> None:
    """Two ranks of half the accumulation see the same global batches as the one-rank ZeRO-2 run."""
    report = run(tmp_path, tiny_model, scores, **form)
    several = 3 * report["steps"] * form.get("ranks", 1)
    assert "batch_tokens" not in form or report["passes"] >= several, "gradients of several passes are summed up"
    former, second = (load_file(out / "model/model.safetensors") for out in (full, tmp_path))
    assert former.keys() == second.keys()
    for name in former:
        torch.testing.assert_close(second[name], former[name], atol=2e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, scores: Path, selection: Path) -> Path:
    out = tmp_path_factory.mktemp("lora")
    run(out, tiny_model, scores, selection, method="lora")
    return out


def test_lora_leaves_an_adapter(lora: Path) -> None:
    adapter = load_file(lora / "model/adapter_model.safetensors")
    assert len(adapter) == 2 * 7 * 2
    assert all(tensor.shape[0] == 8 or tensor.shape[1] == 8 for tensor in adapter.values())
    assert json.loads((lora / "model/adapter_config.json").read_text())["lora_alpha"] == 16
    assert not (lora / "model/model.safetensors").exists()


def test_the_adapter_learned_something_and_fits_its_model(lora: Path, tiny_model: Path) -> None:
    """As evaluation puts it onto the base model: other logits than the base's, and no key is left over."""
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        base, tuned = (
            load_model(tiny_model, adapter, "float32", "cpu")(ids).logits for adapter in (None, lora / "model")
        )
    assert not torch.allclose(base, tuned, atol=1e-3)


def test_the_report_counts_what_was_kept_in_every_epoch(lora: Path, selection: Path) -> None:
    report = read_json(lora / "training.json")
    kept = sum(len(row) for row in pq.read_table(selection)["kept"].to_pylist())
    assert (report["steps"], report["steps_per_epoch"]) == (6, 3)
    assert report["trained_tokens"] == 2 * kept
    assert (report["candidate_samples"], report["kept_samples"]) == (20, 10)
    assert report["forwarded_tokens"] > report["trained_tokens"]


@pytest.mark.slow
def test_lora_with_gradient_checkpointing_equals_without(
    lora: Path, tmp_path: Path, tiny_model: Path, scores: Path, selection: Path
) -> None:
    run(tmp_path, tiny_model, scores, selection, method="lora", gradient_checkpointing=True)
    former, second = (load_file(out / "model/adapter_model.safetensors") for out in (lora, tmp_path))
    for name in former:
        torch.testing.assert_close(second[name], former[name], atol=2e-4, rtol=1e-3)


def test_scores_of_another_model_are_refused(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    job = Job(model=tiny_model, scores=scores, training=Training(**SETTINGS), seed=0)
    with refused(scores, "another model", "0" * 12, fix="score again"):
        train(job, tmp_path / "model", tmp_path / "training.json", {"model": "0" * 64})
    assert list(tmp_path.iterdir()) == []


def test_missing_gpus_are_an_error(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    if torch.cuda.device_count() >= 64:
        pytest.skip("this machine has 64 GPUs")
    job = Job(model=tiny_model, scores=scores, training=Training(**SETTINGS, ranks=64), seed=0, device="cuda")
    with refused("device", "64 GPU(s)"):
        train(job, tmp_path / "model", tmp_path / "training.json")
