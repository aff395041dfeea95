"""Pruners that call another one: where that is from outside the package, its version counts for the cell's jobs."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prunegrid import pruners
from prunegrid.experiment import grid, params
from prunegrid.pruners import SAMPLE, TOKEN
from prunegrid.selection.summary import foreign_pruners
from support.results_folder import an_experiment

TOKENS = """
from prunegrid.pruners import token_pruner

@token_pruner("first")
def first(scores, draw):
    return -scores.places
"""
OUTSIDE = "my_pruners:moderate"
CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("length-matched+random", {"lengths_of": OUTSIDE}, "moderate"),
    ("diverse+random", {"score": OUTSIDE}, "moderate"),
    ("diverse+random", {"score": "length-matched", "score_options": {"lengths_of": OUTSIDE}}, "moderate"),
    ("token-first", {"token_pruner": "my_tokens:first"}, "first"),
    (f"{OUTSIDE}+random", {}, "moderate"),
]


@pytest.fixture(autouse=True)
def folder(plugin_folder: Path) -> Iterator[None]:
    (plugin_folder / "my_tokens.py").write_text(TOKENS)
    yield
    sys.modules.pop("my_tokens", None)


@pytest.mark.parametrize(("method", "options", "name"), CALLS)
def test_pruner_from_outside_that_is_called_has_its_version_in_the_params(
    method: str, options: dict[str, Any], name: str
) -> None:
    experiment = an_experiment(variants=[{"calling": {"method": method, **options}}])
    cell = next(cell for cell in grid.cells(experiment) if cell.variant == "calling")
    assert params.foreign_versions(experiment, cell) == {name: 1}
    assert foreign_pruners(method, options)[name]["version"] == 1
    registry = SAMPLE if name in SAMPLE else TOKEN
    registry[name] = replace(registry[name], version=2)
    assert params.foreign_versions(experiment, cell) == {name: 2}
    assert foreign_pruners(method, options)[name]["version"] == 2


@pytest.mark.parametrize(
    ("method", "options", "names"),
    [
        ("length-matched+ppl", {}, ["length-matched", "ppl", "loss"]),
        ("diverse+ppl", {"score": "quality"}, ["diverse", "ppl"]),
        ("diverse+ppl", {"score": "length-matched"}, ["diverse", "ppl", "length-matched", "loss"]),
        ("token-first", {}, ["token-first", "ppl"]),
        ("qtuning", {}, ["qtuning"]),
    ],
)
def test_all_pruners_are_those_named_and_those_called(method: str, options: dict[str, Any], names: list[str]) -> None:
    assert [pruner.name for pruner in pruners.all_pruners(method, options)] == names
    assert foreign_pruners(method, options) == {}
