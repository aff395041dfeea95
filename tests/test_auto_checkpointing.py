"""`training.gradient_checkpointing: auto`: decided when a job starts, and again when one has run out of memory."""

import os
from pathlib import Path
from typing import Any

import pytest

from killed_jobs import Inputs, assert_same_weights, assert_tidy, befall, run
from prunegrid import devices
from prunegrid.errors import PrunegridError
from prunegrid.io import read_json
from prunegrid.plan.memory import CUDA_CONTEXT, MIB, USABLE
from prunegrid.sections import Runtime, Training
from prunegrid.train import Job
from prunegrid.train.memory import needs_checkpointing

CARD = CUDA_CONTEXT * MIB / USABLE / 1e9  # GB that leave nothing beside CUDA's own


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
    program, asked = folder / "nvidia-smi", folder / "asked"
    program.write_text(f"#!/bin/sh\necho $* >> {asked}\nprintf '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return asked


@pytest.mark.parametrize(("gigabytes", "sharers", "on"), [(CARD, 1, True), (80, 1, False), (1.5 * CARD, 2, True)])
def test_a_stated_card_decides(
    gigabytes: float, sharers: int, on: bool, inputs: Inputs, capfd: pytest.CaptureFixture[str]
) -> None:
    """The tiny model needs megabytes; half of a card is too little where two jobs share it."""
    assert needs_checkpointing(job(inputs, gpu_memory_gb=gigabytes, cells_per_gpu=sharers), ["0"]) is on
    assert f"gradient_checkpointing: auto is {'on' if on else 'off'} for " in capfd.readouterr().err
    alone = job(inputs, ranks=2, gpu_memory_gb=gigabytes, cells_per_gpu=sharers)
    assert needs_checkpointing(alone, ["0", "1"]) is (gigabytes == CARD)


def test_the_cards_that_were_given_decide(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = smi(tmp_path, monkeypatch, r"900\n81559\n")
    assert needs_checkpointing(job(inputs), ["1", "3"]) is True
    monkeypatch.setenv(devices.VISIBLE, "5,6")
    smi(tmp_path, monkeypatch, r"81559\n81559\n")
    assert needs_checkpointing(job(inputs), []) is False
    assert [line.split()[-1] for line in asked.read_text().splitlines()] == ["--id=1,3", "--id=5,6"]


def test_a_card_that_nobody_knows_is_one_line(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, "")
    with pytest.raises(PrunegridError, match=r"neither nvidia-smi nor torch .*: give runtime.gpu_memory_gb"):
        needs_checkpointing(job(inputs), ["0"])


def test_what_is_not_auto_asks_nobody(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = smi(tmp_path, monkeypatch, r"1\n")
    for setting in (True, False):
        assert needs_checkpointing(job(inputs, setting), ["0"]) is setting
    assert needs_checkpointing(job(inputs, device="cpu"), []) is False
    assert not asked.exists()


@pytest.mark.parametrize("settings", [{}, pytest.param({"method": "lora"}, marks=pytest.mark.slow)])
def test_a_want_of_memory_turns_it_on_before_passes_are_halved(
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Any,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    """On a CPU it is off at first. The job goes on from checkpoints that were made without, to the same weights."""
    settings = {"gradient_checkpointing": "auto", **settings}
    befall(monkeypatch, "out of memory", step=4)
    with pytest.raises(PrunegridError, match=r"step 2 is intact; the next attempt turns gradient checkpointing on$"):
        run(tmp_path, inputs, **settings)
    with pytest.raises(PrunegridError, match=r"step 2 is intact; the next attempt halves its forward passes"):
        run(tmp_path, inputs, **settings)
    befall(monkeypatch)
    report = run(tmp_path, inputs, **settings)
    assert (report["resumed"], report["halvings"], report["gradient_checkpointing"]) == ([2], 1, True)
    assert report["training"]["gradient_checkpointing"] == "auto", "what is compared with the config"
    whole = undisturbed(**settings)
    assert read_json(whole / "training.json")["gradient_checkpointing"] is False
    assert_same_weights(tmp_path, whole, exact=False)
    assert_tidy(tmp_path)


def test_on_a_cpu_auto_trains_the_weights_of_false(undisturbed: Any) -> None:
    assert_same_weights(undisturbed(gradient_checkpointing="auto"), undisturbed(gradient_checkpointing=False))
