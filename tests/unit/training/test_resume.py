"""A job that is killed goes on by itself, and ends with the very weights, counts and logs that it would have had."""

from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from prunegrid.experiment.training import Scoring
from prunegrid.scoring.score import score
from support.killed_jobs import Inputs, assert_same, checkpoint_steps, inject_failure, run
from support.resumed_jobs import STEPS, Kills, Undisturbed, assert_fails, kill_twice_and_resume

KILL_BEFORE, KILL_AFTER, KILL_WRITING, KILL_RENAMING = (
    "killed before",
    "killed after",
    "killed while writing",
    "killed before renaming",
)


def form(stage: int, ranks: int, dynamic: bool, packing: bool) -> dict[str, Any]:
    accumulation = {"gradient_accumulation_steps": 2 // ranks}
    return {"zero_stage": stage, "ranks": ranks, "dynamic": dynamic, "packing": packing, **accumulation}


QUICK = [  # any two values of any two of the four settings meet
    (form(0, 1, False, True), Kills(3, KILL_BEFORE, KILL_WRITING)),
    (form(0, 2, True, False), Kills(2, KILL_AFTER, KILL_RENAMING)),
    (form(2, 1, False, False), Kills(4, KILL_AFTER, KILL_WRITING)),
    (form(2, 2, True, True), Kills(3, KILL_BEFORE, KILL_RENAMING)),
    (form(3, 1, True, True), Kills(2, KILL_AFTER, KILL_RENAMING)),
    (form(3, 2, False, False), Kills(4, KILL_BEFORE, KILL_WRITING)),
]
EVERYWHERE = [form(*each) for each in product([0, 2, 3], [1, 2], [False, True], [True, False])]
KILLS = [
    Kills(2 + i % 3, (KILL_BEFORE, KILL_AFTER)[i % 2], (KILL_WRITING, KILL_RENAMING)[i // 2 % 2])
    for i in range(len(EVERYWHERE))
]
ALL = list(zip(EVERYWHERE, KILLS, strict=True))
FORM = form(2, 1, True, True)


def test_the_quick_forms_meet_pairwise_and_kill_in_every_way() -> None:
    forms, kills = zip(*QUICK, strict=True)
    for former, latter in combinations(["zero_stage", "ranks", "dynamic", "packing"], 2):
        assert {(f[former], f[latter]) for f in forms} == {(f[former], f[latter]) for f in EVERYWHERE}
    assert {(k.first, k.second) for k in kills} == set(
        product([KILL_BEFORE, KILL_AFTER], [KILL_WRITING, KILL_RENAMING])
    )
    assert {(k.first, k.second) for k in KILLS} == set(
        product([KILL_BEFORE, KILL_AFTER], [KILL_WRITING, KILL_RENAMING])
    )


@pytest.mark.parametrize(("settings", "kills"), QUICK, ids=str)
def test_killed_and_resumed(
    settings: dict[str, Any],
    kills: Kills,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings, kills)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(("settings", "kills"), ALL, ids=str)
def test_killed_and_resumed_everywhere(
    settings: dict[str, Any],
    kills: Kills,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings, kills)


@pytest.mark.parametrize("dynamic", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_killed_after_the_last_step(
    dynamic: bool,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    inject_failure(monkeypatch, "killed while finishing")
    assert_fails(tmp_path, inputs, "killed by SIGKILL; the checkpoint of step 6", **FORM | {"dynamic": dynamic})
    inject_failure(monkeypatch)
    assert run(tmp_path, inputs, **FORM | {"dynamic": dynamic})["resumed"] == [STEPS]
    assert_same(tmp_path, undisturbed(**FORM | {"dynamic": dynamic}))


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
    inject_failure(monkeypatch, "killed after", step=20)
    assert_fails(tmp_path, inputs, "SIGKILL", save_steps=15, **settings)
    inject_failure(monkeypatch)
    report = run(tmp_path, inputs, save_steps=15, **settings)
    assert [entry["step"] for entry in report["loss_curve"]][6:9] == [14, 16, 18]
    assert_same(tmp_path, undisturbed(**settings))


def test_resumed_job_uses_the_current_save_steps(
    tmp_path: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """What was saved says every second step; now each one is asked for."""
    inject_failure(monkeypatch, "killed before", step=4)
    assert_fails(tmp_path, inputs, "SIGKILL", save_steps=2, **FORM)
    assert checkpoint_steps(tmp_path) == [2]
    inject_failure(monkeypatch, "killed before", step=6)
    assert_fails(tmp_path, inputs, "SIGKILL", save_steps=1, **FORM)
    assert checkpoint_steps(tmp_path) == [4, 5]
    inject_failure(monkeypatch, "killed while finishing")
    assert_fails(tmp_path, inputs, "SIGKILL", save_steps=4, **FORM)
    assert checkpoint_steps(tmp_path) == [5, 6], "the last step is saved however rarely"
    inject_failure(monkeypatch)
    assert run(tmp_path, inputs, **FORM)["resumed"] == [2, 5, 6]
    assert_same(tmp_path, undisturbed(**FORM))


@pytest.mark.parametrize("changed", [{"max_length": 40}, {"dtype": "bfloat16"}], ids=["max_length", "dtype"])
def test_scores_of_another_setting_start_anew(
    changed: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A dynamic cell has no selection that would tell: model, data and training are the same."""
    inject_failure(monkeypatch, "killed before", step=4)
    assert_fails(tmp_path, inputs, "SIGKILL", **FORM)
    inject_failure(monkeypatch)
    other = tmp_path.with_name(f"{tmp_path.name}-scores")
    score(inputs.model, dataset, other, Scoring(**{"max_length": 200, "batch_tokens": 300} | changed))
    assert run(tmp_path, inputs._replace(scores=other), **FORM)["resumed"] == []
    assert "checkpoint-2: not resumed from: it was made with digests.scoring " in capfd.readouterr().err


@pytest.mark.slow
def test_other_settings_start_anew(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None, capfd: pytest.CaptureFixture[str]
) -> None:
    inject_failure(monkeypatch, "killed before", step=4)
    assert_fails(tmp_path, inputs, "SIGKILL")
    inject_failure(monkeypatch)
    report = run(tmp_path, inputs, zero_stage=0, ranks=2)
    assert "checkpoint-2: not resumed from: it was made with training.ranks 1 instead of 2" in capfd.readouterr().err
    assert report["resumed"] == []
