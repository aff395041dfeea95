"""Training jobs that are killed twice, and must end as an undisturbed one does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prunegrid.core.errors import PrunegridError
from support.killed_jobs import Inputs, assert_same, checkpoint_steps, inject_failure, run

Undisturbed = Callable[..., Path]
STEPS = 6


class Kills(NamedTuple):
    """Of a step in its middle, and, in the next attempt, of step 5 while it is saved."""

    step: int
    first: str
    second: str


def assert_fails(out: Path, inputs: Inputs, match: str, **settings: Any) -> None:
    """The job fails with one clear error and leaves no model."""
    with pytest.raises(PrunegridError, match=match):
        run(out, inputs, **settings)
    assert [path.name for path in out.iterdir()] == ["checkpoints"]


def kill_twice_and_resume(
    out: Path,
    inputs: Inputs,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    kills: Kills,
) -> None:
    """The third attempt reaches the end."""
    inject_failure(monkeypatch, kills.first, step=kills.step)
    assert_fails(out, inputs, "SIGKILL|exit code 1", save_steps=1, **settings)
    assert checkpoint_steps(out)[-1] == kills.step - 1
    inject_failure(monkeypatch, kills.second, step=5)
    assert_fails(out, inputs, "SIGKILL|exit code 1|another rank ended|could not save", save_steps=1, **settings)
    assert checkpoint_steps(out) == [3, 4]
    inject_failure(monkeypatch)
    report = run(out, inputs, save_steps=1, **settings)
    assert (report["resumed"], report["halvings"], report["steps"]) == ([kills.step - 1, 4], 0, STEPS)
    assert_same(out, undisturbed(**settings))
