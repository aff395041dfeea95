"""Pruners from outside: the example of docs/tutorials/own-pruner.md, `module:function`, and the entry point group."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.experiment.variant import Variant
from prunegrid.pruners import SAMPLE, Choice, Draw, KeptSamples, Scores
from prunegrid.selection.prune import prune
from support import handmade_scores
from support.docs import code_blocks, example
from support.errors import refused
from support.handmade_scores import spec
from support.snakemake_runs import DEFAULT, ROOT, planned, snakemake


@pytest.fixture
def folder(plugin_folder: Path) -> Path:
    return plugin_folder


def test_the_example_is_at_most_20_lines() -> None:
    assert len(example().strip().splitlines()) <= 20


def test_the_example_prunes(folder: Path) -> None:
    scores = handmade_scores.write(folder / "scores", handmade_scores.random_scores(40))
    summary = prune(scores, folder / "out", spec("my_pruners:moderate+ppl", 0.25, target=1.5), 0)
    assert summary.n_kept_samples == 10
    told = summary.foreign_pruners["moderate"]
    assert (told["module"], told["version"]) == ("my_pruners", 1)
    assert re.fullmatch("[0-9a-f]{64}", told["source"])
    assert pruners.pruner_names("my_pruners:moderate+ppl") == ("moderate", "ppl")


def test_the_token_pruner_of_the_tutorial_keeps_later_tokens(folder: Path) -> None:
    exec(code_blocks("docs/tutorials/own-pruner.md", "python")[1], {"__name__": "late_example"})
    scores = handmade_scores.scores([6, 4])
    scores.tokens["nll"] = np.zeros(10, np.float32)
    selection = pruners.select(scores, spec("random+late", 1, 0.5), Draw(0))
    assert [selection.kept_positions(row).tolist() for row in range(2)] == [[3, 4, 5], [2, 3]]


def test_the_tutorials_pruner_of_imported_scores_takes_the_hard_half_of_the_good(folder: Path) -> None:
    exec(code_blocks("docs/tutorials/own-pruner.md", "python")[2], {"__name__": "good_and_hard_example"})
    columns = {"deita": [4.0, 3.0, 2.0, 1.0], "nll": [0.5, 1.5, 9.0, 9.0]}
    selection = pruners.select(
        handmade_scores.scores([5] * 4, samples=columns), spec("good_and_hard+random", 0.75), Draw(0)
    )
    assert selection.sample_id.tolist() == [0, 1, 2]
    selection = pruners.select(
        handmade_scores.scores([5] * 4, samples=columns), spec("good_and_hard+random", 0.25), Draw(0)
    )
    assert selection.sample_id.tolist() == [1]


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
    ("method", "reference", "what", "fix"),
    [
        ("no_such_module:f+ppl", "no_such_module:f", "cannot import no_such_module", "put no_such_module.py into"),
        ("my_pruners:no_such+ppl", "my_pruners:no_such", "module my_pruners has no 'no_such'", "function"),
        ("my_pruners:np+ppl", "my_pruners:np", "sample pruner", "put @sample_pruner"),
        ("random+my_pruners:moderate", "my_pruners:moderate", "token pruner", "put @token_pruner"),
        ("my_pruners:moderate", "my_pruners:moderate", "joint pruner", "put @joint_pruner"),
        ("broken:f+ppl", "broken:f", "cannot import broken (ZeroDivisionError", "correct broken"),
    ],
)
def test_plugin_that_cannot_be_used_is_refused(folder: Path, method: str, reference: str, what: str, fix: str) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    with refused(reference, what, fix=fix):
        pruners.check_method(method, {})


NLL = "scores.samples['nll']"


@pytest.mark.parametrize(
    ("body", "where", "what"),
    [
        (f"{NLL}[:-1]", "pruner bad", "values of shape (8,), float64"),
        (f"{NLL} * float('nan')", "pruner bad", "values that are not finite numbers"),
        (f"{NLL} * float('inf')", "pruner bad", "values that are not finite numbers"),
        (f"{NLL} * 1j", "pruner bad", "values that are not finite numbers"),
        (f"['x' for _ in {NLL}]", "pruner bad", "values that are not finite numbers"),
        ("scores.samples['ppl']", "sample column ppl", "was not read"),
        (f"{NLL} / {{}}['x']", "pruner bad (<string>, line 1)", "KeyError: 'x'"),
        (f"{NLL}.nothing", "pruner bad (<string>, line 1)", "AttributeError"),
    ],
)
def test_what_a_pruner_returns_is_checked(folder: Path, body: str, where: str, what: str) -> None:
    scores = handmade_scores.random_scores(9)
    del scores.samples["ppl"]
    pruners.sample_pruner("bad", samples=("nll",))(eval(f"lambda scores, draw: {body}"))
    with refused(where, what):
        pruners.select(scores, spec("bad+random"), Draw(0))


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_huge_keys_do_not_outrank_the_end_of_the_sequence(folder: Path, value: float) -> None:
    def huge(scores: Scores, draw: Draw) -> Any:
        return np.full(scores.offsets[-1], value)

    pruners.token_pruner("huge", shared_budget=True)(huge)
    scores = handmade_scores.scores([6, 6, 6])
    selection = pruners.select(scores, spec("random+huge", 1, 0.5), Draw(0))
    assert len(selection.positions) == 9
    assert all(selection.kept_positions(row)[-1] == 5 for row in range(3))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"k": [0, 1]}, "keeps no tokens of a sample, or more than it has"),
        ({"k": [1, 7]}, "keeps no tokens of a sample, or more than it has"),
        ({"rows": [1, 0]}, "not ascending"),
        ({"rows": [0, 9]}, "not among the 3 samples"),
        ({"rank": lambda block: np.full(block.offsets[-1], np.nan)}, "values that are not finite"),
        (None, "returned a list"),
    ],
)
def test_what_a_joint_pruner_returns_is_checked(folder: Path, changes: dict[str, Any] | None, what: str) -> None:
    def joint(scores: Scores, draw: Draw, sample_ratio: float, token_ratio: float) -> Any:
        good = {"rows": [0, 2], "k": [1, 2], "rank": lambda block: np.zeros(block.offsets[-1])}
        if changes is None:
            return [1]
        given = {name: np.array(value) if name != "rank" else value for name, value in (good | changes).items()}
        return Choice(**given, samples=KeptSamples.uniform("mine", 2))

    pruners.joint_pruner("joint")(joint)
    with refused("pruner joint", what):
        pruners.select(handmade_scores.scores([6, 6, 6]), spec("joint"), Draw(0))


def with_bare_option(scores: Scores, draw: Draw, *, target=1.0) -> Any:  # type: ignore[no-untyped-def]
    return scores.samples["nll"]


def with_required_option(scores: Scores, draw: Draw, *, target: float) -> Any:
    return scores.samples["nll"]


def with_taken_option(scores: Scores, draw: Draw, *, match: float = 1.0) -> Any:
    return scores.samples["nll"]


@pytest.mark.parametrize(
    ("name", "function", "about", "where", "fix"),
    [
        ("a", with_bare_option, {}, "pruner a: option target", "target: float = 1.0"),
        ("a", with_required_option, {}, "pruner a: option target", "target: float = 1.0"),
        ("a", with_taken_option, {}, "pruner a: option match", "rename"),
        ("a+b", len, {}, "pruner a+b", "letters, digits"),
        ("a", len, {"samples": "nll"}, "pruner a", "give a tuple of names: ('nll',)"),
        ("a", len, {"tokens": ("nll",)}, "pruner a", "sample columns"),
    ],
)
def test_a_registration_that_cannot_work_is_refused(
    folder: Path, name: str, function: Any, about: dict[str, Any], where: str, fix: str
) -> None:
    with refused(where, fix=fix):
        pruners.sample_pruner(name, **about)(function)
    assert name not in SAMPLE


def test_a_column_that_no_rule_makes_is_named(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from prunegrid.pruners import sample_pruner\n\n\n"
        "@sample_pruner('judged', samples=('quality', 'prompt_tokens'))\n"
        "def judged(scores, draw):\n    return scores.samples['quality']\n"
    )
    config = DEFAULT | {"variants": ["mine:judged+random"]}
    done = snakemake(folder, "--dry-run", config=config)
    output = done.stdout + done.stderr
    assert "a pruner reads the column quality, which no rule makes; score first (results/sandbox/scores" in output
    assert "prompt_tokens" not in output


def test_an_installed_entry_point_needs_no_module(tmp_path: Path) -> None:
    """A distribution that lists the module under `prunegrid.pruners`: its pruner is known by its own name."""
    (tmp_path / "my_pruners.py").write_text(example())
    about = tmp_path / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[prunegrid.pruners]\nmine = my_pruners\n")
    code = "from prunegrid import pruners; print(pruners.complete_options('moderate+random', {}))"
    path = f"{tmp_path}:{ROOT / 'src'}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path, "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'target': 2.0}\n", done.stderr
