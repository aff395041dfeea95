"""Training jobs that are killed twice, and must end as an undisturbed one does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prunegrid.core.errors import PrunegridError
from support.killed_jobs import Inputs, assert_same, befall, run, steps

Undisturbed = Callable[..., Path]
STEPS = 6


class Kills(NamedTuple):
    """Of a step in its middle, and, in the next attempt, of step 5 while it is saved."""

    step: int
    first: str
    second: str


def is_refused(out: Path, inputs: Inputs, match: str, **settings: Any) -> None:
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
    befall(monkeypatch, kills.first, step=kills.step)
    is_refused(out, inputs, "SIGKILL|exit code 1", save_steps=1, **settings)
    assert steps(out)[-1] == kills.step - 1
    befall(monkeypatch, kills.second, step=5)
    is_refused(out, inputs, "SIGKILL|exit code 1|another rank ended|could not save", save_steps=1, **settings)
    assert steps(out) == [3, 4]
    befall(monkeypatch)
    report = run(out, inputs, save_steps=1, **settings)
    assert (report["resumed"], report["halvings"], report["steps"]) == ([kills.step - 1, 4], 0, STEPS)
    assert_same(out, undisturbed(**settings))
