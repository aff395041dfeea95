"""What a training job asks of a device: numbers read, buckets, memory settings; and how it places the model there."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Trainer

from prunegrid.core import gpus
from prunegrid.experiment.training import Lora, Training
from prunegrid.models.adapters import add_adapter
from prunegrid.training import Job, processes, settings, trained_model
from prunegrid.training.job import Order
from prunegrid.training.processes import CUBLAS
from prunegrid.training.trainer import PrunedTrainer
from support.killed_jobs import Inputs, inject_failure, run


@pytest.mark.parametrize("settings", [{}, {"bf16": True, "method": "lora"}], ids=["full", "lora-bf16"])
def test_step_reads_the_device_as_often_for_many_passes(
    settings: dict[str, Any], tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """On a GPU each read waits until it is idle. One is ours, of what is known by then; DeepSpeed reads the norm."""
    counted = []
    for tokens in (4096, 40):
        out = tmp_path / str(tokens)
        out.mkdir()
        inject_failure(monkeypatch, "counted", reads=out / "reads.json")
        run(out, inputs, save_steps=100, batch_tokens=tokens, **settings)
        counted.append(json.loads((out / "reads.json").read_text())[-1])
    few, many = counted
    assert few["passes"] == 1 and many["passes"] > 3
    assert few["reads"] == many["reads"]
    assert [read for read in few["reads"] if "problem" in read] == ["tolist in finite.py, problem"]
    assert not [read for read in few["reads"] if read.startswith("synchronize")]
    assert len(few["reads"]) <= 6, few["reads"]
    weights = load_file(next((tmp_path / "40/model").glob("*.safetensors")))
    assert few["bucket"] == sum(weight.numel() for weight in weights.values()), "DeepSpeed has the size that fits"


def test_the_trainer_has_the_methods_that_would_wait() -> None:
    """They are private to transformers: under another name, ours would change nothing."""
    for name in ("_prepare_inputs", "_clip_grad_norm", "_get_grad_norm"):
        assert name in vars(Trainer) and name in vars(PrunedTrainer)


def job(device: str = "cuda", **settings: Any) -> Job:
    return Job(model=Path("m"), scores=Path("s"), training=Training(**settings), seed=0, device=device)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*gpus.ALLOCATOR, CUBLAS):
        monkeypatch.delenv(name, raising=False)


def test_ranks_on_a_gpu_have_memory_that_grows_in_place(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.rank_environment(job())["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert "PYTORCH_ALLOC_CONF" not in processes.rank_environment(job("cpu"))
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")
    assert "PYTORCH_ALLOC_CONF" not in processes.rank_environment(job()), "a user's own choice stays alone"


def test_deterministic_ranks_have_cublas_a_fixed_workspace(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CUBLAS not in processes.rank_environment(job())
    assert processes.rank_environment(job(deterministic=True))[CUBLAS] == ":4096:8"
    monkeypatch.setenv(CUBLAS, ":16:8")
    assert processes.rank_environment(job(deterministic=True))[CUBLAS] == ":16:8"


def test_weights_are_read_onto_the_gpu_below_zero_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert trained_model.placement(job()) == {"device_map": {"": "cuda:3"}}
    assert trained_model.placement(job(zero_stage=3)) == trained_model.placement(job("cpu")) == {}


def test_placed_model_has_the_same_weights(tiny_model: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny_model)
    placed = AutoModelForCausalLM.from_pretrained(tiny_model, device_map={"": "cpu"})
    for name, weight in plain.named_parameters():
        assert torch.equal(weight, placed.get_parameter(name))


def test_buckets_are_as_large_as_what_is_trained(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    every = sum(p.numel() for p in model.parameters())
    assert settings.bucket_sizes(model) == {"reduce_bucket_size": every, "allgather_bucket_size": every + every % 2}
    adapted = add_adapter(model, Lora(r=1, target_modules=["q_proj"]))
    assert settings.bucket_sizes(adapted)["reduce_bucket_size"] == 2 * (32 + 32)
    monkeypatch.setattr(settings, "BUCKET_ELEMENTS", 100)
    assert settings.bucket_sizes(adapted) == {"reduce_bucket_size": 100, "allgather_bucket_size": 100}


def test_checkpoints_of_activations_are_a_yes_or_a_no() -> None:
    def order(setting: Any) -> Order:
        training = Training(gradient_checkpointing=setting)
        paths = dict.fromkeys(("out", "checkpoints", "reports", "error"), Path("x"))
        return Order(job=job().model_copy(update={"training": training}), identity={}, **paths)

    assert [order(setting).checkpoints_layers for setting in (True, False, "auto")] == [True, False, False]
