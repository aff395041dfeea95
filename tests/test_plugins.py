"""Pruners from outside: the example of docs/pruners.md, `module:function`, and the entry point group."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import handmade
from documented import example
from prunegrid import pruners
from prunegrid.config import Variant
from prunegrid.errors import PrunegridError
from prunegrid.prune import prune
from prunegrid.pruners import JOINT, SAMPLE, TOKEN
from snake import DEFAULT, ROOT, planned


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the example as `my_pruners.py`; what it registers is forgotten afterwards."""
    (tmp_path / "my_pruners.py").write_text(example())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = [dict(registry) for registry in (SAMPLE, TOKEN, JOINT)]
    yield tmp_path
    sys.modules.pop("my_pruners", None)
    for registry, kept in zip((SAMPLE, TOKEN, JOINT), before, strict=True):
        registry.clear()
        registry.update(kept)


def test_the_example_is_at_most_20_lines() -> None:
    assert len(example().strip().splitlines()) <= 20


def test_the_example_prunes(folder: Path) -> None:
    scores = handmade.write(folder / "scores", handmade.random_scores(40))
    given = {"options": {"target": 1.5}, "sample_ratio": 0.25, "token_ratio": 0.5, "seed": 0}
    summary = prune(scores, folder / "out", variant="mine", method="my_pruners:moderate+ppl", **given)
    assert summary["n_kept_samples"] == 10
    told = summary["foreign_pruners"]["moderate"]
    assert (told["module"], told["version"]) == ("my_pruners", 1)
    assert re.fullmatch("[0-9a-f]{64}", told["source"])
    assert pruners.parts("my_pruners:moderate+ppl") == ("moderate", "ppl")


def test_a_variant_is_named_after_the_function(folder: Path) -> None:
    variant = Variant.model_validate("my_pruners:moderate+ppl")
    assert (variant.name, variant.method) == ("moderate+ppl", "my_pruners:moderate+ppl")


def test_one_line_of_the_config_is_a_row(folder: Path) -> None:
    before = planned(folder, config=DEFAULT)
    after = planned(folder, config=DEFAULT | {"variants": [*DEFAULT["variants"], "my_pruners:moderate+random"]})
    assert {name: after[name] - before[name] for name in ("prune", "train", "evaluate")} == {
        "prune": 1,
        "train": 1,
        "evaluate": 1,
    }


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("no_such_module:f+ppl", r"cannot import no_such_module .*put no_such_module\.py into"),
        ("my_pruners:no_such+ppl", "module my_pruners has no 'no_such'"),
        ("my_pruners:np+ppl", "not registered as a sample pruner; put @sample_pruner"),
        ("random+my_pruners:moderate", "not registered as a token pruner; put @token_pruner"),
        ("my_pruners:moderate", "not registered as a joint pruner"),
        ("broken:f+ppl", "cannot import broken .ZeroDivisionError"),
    ],
)
def test_what_cannot_be_found_is_told(folder: Path, method: str, message: str) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    with pytest.raises(PrunegridError, match=message):
        pruners.check(method, {})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("scores.samples['nll'][:-1]", r"pruner bad returned an array of shape \(8,\); return one number for each of"),
        ("scores.samples['nll'] * float('nan')", "pruner bad returned NaN"),
    ],
)
def test_what_a_pruner_returns_is_checked(folder: Path, body: str, message: str) -> None:
    head = "from prunegrid.pruners import sample_pruner\n\n@sample_pruner('bad', samples=('nll',))\n"
    (folder / "bad_pruner.py").write_text(f"{head}def bad(scores, draw):\n    return {body}\n")
    with pytest.raises(PrunegridError, match=message):
        pruners.select(handmade.random_scores(9), "bad_pruner:bad+random", {}, 0.5, 0.5, 0)
    sys.modules.pop("bad_pruner")


def test_an_installed_entry_point_needs_no_module(tmp_path: Path) -> None:
    """A distribution that lists the module under `prunegrid.pruners`: its pruner is known by its own name."""
    (tmp_path / "my_pruners.py").write_text(example())
    about = tmp_path / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[prunegrid.pruners]\nmine = my_pruners\n")
    code = "from prunegrid import pruners; print(pruners.filled('moderate+random', {}))"
    path = f"{tmp_path}:{ROOT / 'workflow'}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path, "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'target': 2.0}\n", done.stderr
