"""A job that is killed goes on by itself, and ends with the very weights, counts and logs that it would have had."""

import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from killed_jobs import Inputs, assert_same, befall, run, steps
from prunegrid.errors import PrunegridError

Undisturbed = Callable[..., Path]
STEPS = 6
PHASES = ["killed before", "killed after", "killed while writing", "killed before renaming"]
QUICK: list[dict[str, Any]] = [
    {"zero_stage": 2, "ranks": 1, "dynamic": True},
    {"zero_stage": 3, "ranks": 2, "dynamic": True, "packing": False},
    {"zero_stage": 0, "ranks": 2, "dynamic": False},
]
ALL: list[dict[str, Any]] = [
    {"zero_stage": stage, "ranks": ranks, "dynamic": dynamic, "packing": packing}
    for stage, ranks, dynamic, packing in product([0, 2, 3], [1, 2], [False, True], [True, False])
]


def is_refused(out: Path, inputs: Inputs, match: str, **settings: Any) -> None:
    """The job fails with one clear error and leaves no model."""
    with pytest.raises(PrunegridError, match=match):
        run(out, inputs, **settings)
    assert [path.name for path in out.iterdir()] == ["checkpoints"]


def kill_twice_and_resume(
    out: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Once at a random step, then, resumed, while a checkpoint is written: the third attempt reaches the end."""
    settings = settings | {"gradient_accumulation_steps": 2 // settings["ranks"]}
    luck = random.Random(str(sorted(settings.items())))
    first, second = luck.randint(2, 4), 5
    befall(monkeypatch, luck.choice(PHASES[:2]), step=first)
    is_refused(out, inputs, "SIGKILL|exit code 1", save_steps=1, **settings)
    assert steps(out)[-1] == first - 1
    befall(monkeypatch, luck.choice(PHASES[2:]), step=second)
    is_refused(out, inputs, "SIGKILL|exit code 1|another rank|could not save", save_steps=1, **settings)
    assert steps(out) == [second - 2, second - 1]
    befall(monkeypatch)
    report = run(out, inputs, save_steps=1, **settings)
    assert (report["resumed"], report["halvings"], report["steps"]) == ([first - 1, second - 1], 0, STEPS)
    assert_same(out, undisturbed(**settings))


@pytest.mark.parametrize("settings", QUICK, ids=str)
def test_killed_and_resumed(
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings)


@pytest.mark.slow
@pytest.mark.parametrize("settings", ALL, ids=str)
def test_killed_and_resumed_everywhere(
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings)


@pytest.mark.parametrize("dynamic", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_killed_after_the_last_step(
    dynamic: bool,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    befall(monkeypatch, "killed while finishing")
    is_refused(tmp_path, inputs, "killed by SIGKILL; the checkpoint of step 6", **QUICK[0] | {"dynamic": dynamic})
    befall(monkeypatch)
    assert run(tmp_path, inputs, **QUICK[0] | {"dynamic": dynamic})["resumed"] == [STEPS]
    settings = QUICK[0] | {"dynamic": dynamic, "gradient_accumulation_steps": 2}
    assert_same(tmp_path, undisturbed(**settings))


def test_dropout_and_losses_between_two_log_lines_are_resumed(
    tmp_path: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """LoRA's dropout draws from the saved random state; the loss is logged every second step, saved after the 15th."""
    settings: dict[str, Any] = {
        "method": "lora",
        "lora": {"lora_dropout": 0.3},
        "max_steps": 100,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
    }
    befall(monkeypatch, "killed after", step=20)
    is_refused(tmp_path, inputs, "SIGKILL", save_steps=15, **settings)
    befall(monkeypatch)
    report = run(tmp_path, inputs, save_steps=15, **settings)
    assert [entry["step"] for entry in report["loss_curve"]][6:9] == [14, 16, 18]
    assert_same(tmp_path, undisturbed(**settings))


@pytest.mark.slow
def test_other_settings_start_anew(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None, capfd: pytest.CaptureFixture[str]
) -> None:
    befall(monkeypatch, "killed before", step=4)
    is_refused(tmp_path, inputs, "SIGKILL")
    befall(monkeypatch)
    report = run(tmp_path, inputs, zero_stage=0, ranks=2)
    assert "checkpoint-2: not resumed from, it was made with training.ranks 1 instead of 2" in capfd.readouterr().err
    assert report["resumed"] == []
