"""Jobs that fail: one clear error, the last checkpoint intact, and the same call reaches the undisturbed end."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prunegrid.core import locks
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, read_parquet
from prunegrid.experiment.training import Training
from prunegrid.training import checkpoints, launch, out_of_memory
from prunegrid.training.failures import read_failure
from prunegrid.training.rank_failures import write_failure
from prunegrid.training.schedule import schedule
from support.errors import refused
from support.killed_jobs import (
    SETTINGS,
    Inputs,
    assert_same,
    assert_same_weights,
    assert_tidy,
    checkpoint_steps,
    inject_failure,
    run,
)
from support.programs import program

Undisturbed = Callable[..., Path]
STEPS = 6
TWO = {"ranks": 2, "gradient_accumulation_steps": 1}


def fails(out: Path, inputs: Inputs, where: str, what: str, fix: str, **settings: Any) -> PrunegridError:
    """The job's one error, whose fields match these patterns; it leaves no model and nothing half-written."""
    with pytest.raises(PrunegridError) as caught:
        run(out, inputs, **settings)
    assert not (out / "model").exists() and not list(out.glob(".*.tmp"))
    assert not list((out / "checkpoints").glob(".saving-*"))
    error = caught.value
    assert "\n" not in str(error)
    for pattern, field in ((where, error.where), (what, error.what), (fix, error.fix)):
        assert re.search(pattern, field), str(error)
    return error


def resumes(
    out: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> dict[str, Any]:
    inject_failure(monkeypatch)
    report = run(out, inputs, **settings)
    assert_same(out, undisturbed(**settings))
    return report


def test_infinite_weights(
    tmp_path: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    inject_failure(monkeypatch, "spoilt", step=4)
    fails(tmp_path, inputs, "^step 4$", r"loss is (nan|inf) \(sample_id \d+, ", "learning_rate")
    assert checkpoint_steps(tmp_path) == [2]
    assert resumes(tmp_path, inputs, undisturbed, monkeypatch)["resumed"] == [2]


@pytest.mark.parametrize(
    ("misfortune", "step", "problem"),
    [
        ("spoilt after", 4, "scores of sample_id ([0-9, ]+) are not finite"),
        ("spoilt", 5, "loss is (?:nan|inf)"),
    ],
)
def test_infinite_weights_while_pruning(
    misfortune: str,
    step: int,
    problem: str,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    """Before the mini-batches of step 5 are scored, or between that and the loss of what was kept of them."""
    settings = {"dynamic": True, "save_steps": 3}
    inject_failure(monkeypatch, misfortune, step=step)
    error = fails(tmp_path, inputs, "^step 5", problem, "training.learning_rate", **settings)
    if scored := re.search("scores of sample_id ([0-9, ]+)", error.what):
        ids = np.sort(read_parquet(inputs.scores / "samples.parquet")["sample_id"].to_numpy())
        plan = schedule(ids, len(ids), Training(**SETTINGS, mode="dynamic"), 0, rank=0)
        assert {int(number) for number in scored[1].split(",")} == {int(ids[row]) for batch in plan[4] for row in batch}
    assert checkpoint_steps(tmp_path) == [3]
    assert resumes(tmp_path, inputs, undisturbed, monkeypatch, **settings)["resumed"] == [3]


def test_weights_that_are_infinite_after_a_step_are_not_saved(
    tmp_path: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """Loss and gradient were finite, and the step is the last: nothing else would tell."""
    inject_failure(monkeypatch, "spoilt after", step=STEPS)
    fails(tmp_path, inputs, "^step 6$", "weights are not finite.*checkpoint of step 4 is intact", "learning_rate")
    assert resumes(tmp_path, inputs, undisturbed, monkeypatch)["resumed"] == [4]


@pytest.mark.parametrize(
    "zero_stage", [2, pytest.param(0, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_learning_rate_that_is_far_too_high(zero_stage: int, tmp_path: Path, inputs: Inputs, warm: None) -> None:
    settings = {"learning_rate": 1e30, "zero_stage": zero_stage}
    fails(tmp_path, inputs, r"^step \d$", "(loss|gradient) is .*sample_id", "learning_rate", **settings)


def test_an_unforeseen_error(tmp_path: Path, inputs: Inputs, warm: None) -> None:
    """Adam cannot even write down such a step."""
    fails(tmp_path, inputs, "^step 2 ", r"\(RuntimeError: value cannot be", "traceback in this log", learning_rate=1e38)


def test_a_step_without_a_trainable_token(tmp_path: Path, inputs: Inputs, warm: None) -> None:
    fails(
        tmp_path, inputs, r"^step \d+$", "no trainable token: .* 0 samples of 1", "training.*sample_ratio",
        per_device_train_batch_size=1, gradient_accumulation_steps=1,
    )  # fmt: skip


@pytest.mark.parametrize("settings", [{}, pytest.param(TWO, marks=pytest.mark.slow)])
def test_out_of_memory_halves_the_passes(
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    """Of several ranks one runs out. The same global batches give the same weights but for the order of sums."""
    inject_failure(monkeypatch, "out of memory", step=4, ranks=[settings.get("ranks", 1) - 1])
    fails(
        tmp_path,
        inputs,
        r"^step 4 \(sample_id \d+",
        "out of memory.*step 2 is intact",
        "the next attempt halves",
        **settings,
    )
    inject_failure(monkeypatch)
    report = run(tmp_path, inputs, **settings)
    whole = undisturbed(**settings)
    assert (report["resumed"], report["halvings"]) == ([2], 1)
    assert report["passes"] > read_json(whole / "training.json")["passes"]
    assert report["trained_tokens"] == read_json(whole / "training.json")["trained_tokens"]
    assert_same_weights(tmp_path, whole, exact=False)
    assert_tidy(tmp_path)


def test_kill_by_the_kernel_halves_the_passes(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """Its kill looks like anybody's, but for its count."""
    counts = iter([3, 4])
    monkeypatch.setattr(out_of_memory, "kernel_kills", lambda: next(counts))
    inject_failure(monkeypatch, "killed after", step=1)
    fails(tmp_path, inputs, "^training$", "the kernel killed a rank.*no checkpoint", "the next attempt halves")
    assert read_json(tmp_path / "checkpoints/memory.json")["halvings"] == 1


def test_one_of_two_ranks_is_killed(
    tmp_path: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under torchrun, as in earnest."""
    inject_failure(monkeypatch, "killed before", step=4, ranks=[1])
    fails(tmp_path, inputs, "^step 4 ", "another rank ended", "in this log", **TWO)
    assert checkpoint_steps(tmp_path) == [2]
    assert resumes(tmp_path, inputs, undisturbed, monkeypatch, **TWO)["halvings"] == 0


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (PrunegridError("config.yaml: training.ranks", "is 3", "set 2"), "stated"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (OSError(28, "No space left on device"), "disk"),
        (RuntimeError("use_deterministic_algorithms"), "deterministic"),
        (ValueError("x"), "unforeseen"),
    ],
)
def test_failure_of_a_rank_reaches_the_launcher_with_its_fields(error: Exception, cause: str, tmp_path: Path) -> None:
    write_failure(tmp_path / "error.json", error, None)
    write_failure(tmp_path / "error.json", ValueError("a second rank's"), None)
    failure = read_failure(tmp_path / "error.json")
    assert failure and failure.cause == cause
    if isinstance(error, PrunegridError):
        assert (failure.where, failure.what, failure.fix) == (error.where, error.what, error.fix)
    else:
        assert failure.where == "step 0" and type(error).__name__ in failure.what


def test_failure_of_a_rank_without_deepspeed_says_what_to_install(tmp_path: Path) -> None:
    write_failure(tmp_path / "error.json", ModuleNotFoundError("No module", name="deepspeed.runtime"), None)
    failure = read_failure(tmp_path / "error.json")
    assert failure and (failure.cause, failure.where) == ("stated", "deepspeed")
    assert failure.fix == 'run pip install "prunegrid[train]"'


def test_failure_that_was_cut_off_is_none(tmp_path: Path) -> None:
    """A rank was killed while it wrote."""
    (tmp_path / "error.json").write_text('{"cause": "mem')
    assert read_failure(tmp_path / "error.json") is None
    assert read_failure(tmp_path / "nothing.json") is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_full_disk(
    small_disk: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    (small_disk / "other").write_bytes(b"x" * 5_000_000)
    what = "could not save step 4 .*0.00. GB free.*checkpoint of step 2 is intact"
    fails(small_disk, inputs, f"^{small_disk}/checkpoints$", what, "free disk space")
    (small_disk / "other").unlink()
    assert resumes(small_disk, inputs, undisturbed, monkeypatch)["resumed"] == [2]


@pytest.mark.parametrize("settings", [{}, pytest.param(TWO, marks=pytest.mark.slow)])
def test_no_room_for_the_model(
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    inject_failure(monkeypatch, "no room", ranks=[0])
    what = "could not save the model .*checkpoint of step 6 is intact"
    fails(tmp_path, inputs, f"^{tmp_path}/", what, "free disk space", **settings)
    assert resumes(tmp_path, inputs, undisturbed, monkeypatch, **settings)["resumed"] == [STEPS]


def signalled(number: int, marker: Path) -> threading.Thread:
    """This process, which launches the ranks, gets the signal as soon as the marker is there."""

    def send() -> None:
        while not marker.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("number", "settings"),
    [
        (signal.SIGTERM, {}),
        (signal.SIGUSR1, TWO),
        pytest.param(signal.SIGUSR1, {}, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, TWO, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, {}, marks=pytest.mark.slow),
    ],
)
def test_signals_lose_no_step(
    number: signal.Signals,
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    marker = tmp_path / "marker"
    inject_failure(monkeypatch, "slow", step=3, marker=marker)
    thread = signalled(number, marker)
    out = tmp_path / "out"
    what = f"stopped by {number.name} after step 3 of 6, which is saved"
    fails(out, inputs, "^training$", what, "resumes", save_steps=100, **settings)
    thread.join()
    assert checkpoint_steps(out) == [3]
    request.getfixturevalue("warm")
    assert resumes(out, inputs, undisturbed, monkeypatch, **settings)["resumed"] == [3]


def test_signal_before_the_ranks_handle_signals(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    inject_failure(monkeypatch, "slow start", marker=marker, seconds=60)
    thread = signalled(signal.SIGTERM, marker)
    fails(tmp_path / "out", inputs, "^training$", "stopped by SIGTERM.*no checkpoint", "")
    thread.join()


@pytest.mark.parametrize("settings", [TWO, pytest.param({}, marks=pytest.mark.slow)])
def test_ranks_whose_launcher_was_killed_hold_the_cell_and_stop(
    settings: dict[str, Any],
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    marker, out = tmp_path / "marker", tmp_path / "out"
    inject_failure(monkeypatch, "slow", step=3, marker=marker, seconds=4)
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(Path(launch.__file__).parents[2])])
    line = program("launcher", out, *inputs, json.dumps(settings | {"save_steps": 100}))
    launcher = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": path})
    while not marker.exists():
        assert launcher.poll() is None
        time.sleep(0.02)
    launcher.kill()
    launcher.wait()
    assert list(out.glob(".model.*.tmp"))
    monkeypatch.setattr(locks, "wait_seconds", lambda: 0)
    with refused(out / "checkpoints", f"process {launcher.pid} on ", fix="stop it"):
        run(out, inputs, **settings)
    wait_for(lambda: checkpoint_steps(out) == [3])
    wait_for(lambda: is_free(out / "checkpoints"))
    request.getfixturevalue("warm")
    assert resumes(out, inputs, undisturbed, monkeypatch, **settings)["resumed"] == [3]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def is_free(folder: Path) -> bool:
    try:
        with checkpoints.cell_lock(folder):
            return True
    except PrunegridError:
        return False
