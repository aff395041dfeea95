"""`training.gradient_checkpointing: auto`: decided when a job starts, and again when one has run out of memory."""

import os
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from prunegrid.core import gpus
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.experiment.training import Runtime, Training
from prunegrid.models.size import stored_size
from prunegrid.training import Job
from prunegrid.training.auto_checkpointing import is_needed
from prunegrid.training.memory_model import CUDA_CONTEXT_MIB, MIB, USABLE_SHARE, training_bytes
from support.errors import refused
from support.killed_jobs import Inputs, assert_same_weights, assert_tidy, inject_failure, run

CARD = CUDA_CONTEXT_MIB * MIB / USABLE_SHARE / 1e9  # GB that leave nothing beside CUDA's own


def job(inputs: Inputs, setting: Any = "auto", device: str = "cuda", ranks: int = 1, **runtime: Any) -> Job:
    return Job(
        model=inputs.model,
        scores=inputs.scores,
        training=Training(gradient_checkpointing=setting, ranks=ranks),
        runtime=Runtime(**runtime),
        seed=0,
        device=device,
    )


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> Path:
    """An nvidia-smi that answers so; the file of what it was asked."""
    program, calls = folder / "nvidia-smi", folder / "asked"
    program.write_text(f"#!/bin/sh\necho $* >> {calls}\nprintf '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return calls


@pytest.mark.parametrize(("gigabytes", "sharers", "on"), [(CARD, 1, True), (80, 1, False), (1.5 * CARD, 2, True)])
def test_stated_gpu_memory_decides(
    gigabytes: float, sharers: int, on: bool, inputs: Inputs, capfd: pytest.CaptureFixture[str]
) -> None:
    """The tiny model needs megabytes; half of a card is too little where two jobs share it."""
    assert is_needed(job(inputs, gpu_memory_gb=gigabytes, cells_per_gpu=sharers), ["0"]) is on
    assert f"gradient_checkpointing: auto is {'on' if on else 'off'} for " in capfd.readouterr().err
    alone = job(inputs, ranks=2, gpu_memory_gb=gigabytes, cells_per_gpu=sharers)
    assert is_needed(alone, ["0", "1"]) is (gigabytes == CARD)


def test_given_gpus_decide(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = smi(tmp_path, monkeypatch, r"900\n81559\n")
    assert is_needed(job(inputs), ["1", "3"]) is True
    monkeypatch.setenv(gpus.VISIBLE, "5,6")
    smi(tmp_path, monkeypatch, r"81559\n81559\n")
    assert is_needed(job(inputs), []) is False
    assert [line.split()[-1] for line in calls.read_text().splitlines()] == ["--id=1,3", "--id=5,6"]


def test_unknown_gpu_memory_is_an_error(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, "")
    with refused("training.gradient_checkpointing", "auto", "nvidia-smi", "torch", fix="runtime.gpu_memory_gb"):
        is_needed(job(inputs), ["0"])


def test_other_settings_than_auto_query_no_gpu(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = smi(tmp_path, monkeypatch, r"1\n")
    for setting in (True, False):
        assert is_needed(job(inputs, setting), ["0"]) is setting
    assert is_needed(job(inputs, device="cpu"), []) is False
    assert not calls.exists()


@pytest.mark.parametrize("settings", [{}, pytest.param({"method": "lora"}, marks=pytest.mark.slow)])
def test_out_of_memory_turns_it_on_before_halving_passes(
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Any,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    """On a CPU it is off at first. The job goes on from checkpoints that were made without, to the same weights."""
    settings = {"gradient_checkpointing": "auto", **settings}
    inject_failure(monkeypatch, "out of memory", step=4)
    for fix in ("turns gradient checkpointing on", "halves its forward passes"):
        with pytest.raises(PrunegridError) as caught:
            run(tmp_path, inputs, **settings)
        assert "step 2 is intact" in caught.value.what and fix in caught.value.fix
    inject_failure(monkeypatch)
    report = run(tmp_path, inputs, **settings)
    assert (report["resumed"], report["halvings"], report["gradient_checkpointing"]) == ([2], 1, True)
    assert report["training"]["gradient_checkpointing"] == "auto", "what is compared with the config"
    whole = undisturbed(**settings)
    assert read_json(whole / "training.json")["gradient_checkpointing"] is False
    assert_same_weights(tmp_path, whole, exact=False)
    assert_tidy(tmp_path)


def test_on_a_cpu_auto_trains_the_weights_of_false(undisturbed: Any) -> None:
    assert_same_weights(undisturbed(gradient_checkpointing="auto"), undisturbed(gradient_checkpointing=False))


@pytest.mark.parametrize(("kind", "on"), [("bloom", True), ("gpt2", False)])
def test_eager_attention_turns_checkpointing_on(kind: str, on: bool, inputs: Inputs, tmp_path: Path) -> None:
    """Bloom has no SDPA; GPT-2 has it, and calls its sizes by other names than a Llama."""
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, n_layer=2, n_head=2, hidden_size=16))
    model.save_pretrained(tmp_path)
    padded = job(inputs, gpu_memory_gb=80).model_copy(update={"model": tmp_path})
    assert is_needed(padded, ["0"]) is on
    shape = stored_size(tmp_path).shape
    assert (shape.layers, shape.hidden) == (2, 16)


def test_unpackable_model_is_estimated_padded(inputs: Inputs, tmp_path: Path) -> None:
    """Nemotron's layers drop the borders. A padded pass has 64 samples, a packed one 64 tokens."""
    config = AutoConfig.for_model(
        "nemotron", num_hidden_layers=8, num_attention_heads=2, num_key_value_heads=2, hidden_size=64, vocab_size=300
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    unpackable, settings = job(inputs), {"batch_tokens": 64, "per_device_train_batch_size": 64}
    training = unpackable.training.model_copy(update=settings)
    size, longest = stored_size(tmp_path), read_json(inputs.scores / "meta.json")["max_length"]
    packed, padded = (
        sum(training_bytes(training.model_copy(update={"packing": packing}), size, longest, "cuda").values())
        for packing in (True, False)
    )
    card = (CUDA_CONTEXT_MIB * MIB + (packed + padded) / 2) / USABLE_SHARE / 1e9
    changes = {"model": tmp_path, "training": training, "runtime": Runtime(gpu_memory_gb=card)}
    assert is_needed(unpackable.model_copy(update=changes), ["0"]) is True
    assert is_needed(unpackable.model_copy(update=changes | {"model": inputs.model}), ["0"]) is False


def test_scores_without_a_cut_off_are_an_error(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{}")
    hand_made = job(inputs, gpu_memory_gb=80).model_copy(update={"scores": tmp_path})
    with refused(tmp_path / "meta.json", "max_length", fix="training.gradient_checkpointing"):
        is_needed(hand_made, ["0"])
