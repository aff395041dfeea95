"""The section `ladder`: its variants by hand, their names, what is refused, and configs without it dumped as before."""

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml

from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment, load
from prunegrid.experiment.grid import Cell
from prunegrid.pruners.method import AUTHORS, complete_options
from support.errors import refused
from support.results_folder import an_experiment
from support.snakemake_runs import ROOT

LADDER: dict[str, Any] = {
    "gap": ["qtuning", "random"],
    "rows": {
        "qtuning": {"method": "qtuning", "mode": "dynamic"},
        "random": {"method": "random+random", "mode": "dynamic", "match": "qtuning"},
        "full": {"method": "random+random"},
    },
    "differences": {
        "nominal": {"label": "Nominal budget", "only": "up", "random": {"match": None}},
        "lambda": {"label": "Lambda", "qtuning": {"neighbor_lambda": 0.0}},
        "rate": {"label": "Rate", "base": "nominal", "random": {"training": {"learning_rate": 1e-5}}},
        "clip": {
            "label": "Clipping",
            "qtuning": {"training": {"max_grad_norm": 2.0}},
            "random": {"training": {"max_grad_norm": 2.0}},
            "full": {"training": {"max_grad_norm": 2.0}},
        },
    },
    "columns": {"other": {"label": "Other column", "A": "B"}},
}


def with_ladder(**changes: Any) -> Experiment:
    """`changes`: what replaces a value, by its path of keys joined by two underscores."""
    ladder = deepcopy(LADDER)
    for path, value in changes.items():
        *keys, last = path.split("__")
        place = ladder
        for key in keys:
            place = place.setdefault(key, {})
        place[last] = value
    return an_experiment(variants=["random+ppl"], ladder=ladder)


def test_variants_are_the_states_that_change_a_row() -> None:
    variants = {v.name: (v.match, v.options, v.training) for v in with_ladder().variants}
    clip, rate = {"max_grad_norm": 2.0}, {"learning_rate": 1e-5}
    assert variants == {
        "random+ppl": (None, {}, {}),
        "qtuning-paper": (None, {}, {}),
        "qtuning-paper+lambda": (None, {"neighbor_lambda": 0.0}, {}),
        "qtuning-paper+clip": (None, {}, clip),
        "qtuning-copy": (None, {"neighbor_lambda": 0.0}, clip),
        "random-paper": ("qtuning-paper", {}, {}),
        "random-paper+nominal": (None, {}, {}),
        "random-copy-clip": (None, {}, rate),  # also nominal + rate, from which `rate` is measured upwards
        "random-paper+clip": ("qtuning-paper+clip", {}, clip),
        "random-copy-rate": (None, {}, clip),
        "random-copy": (None, {}, rate | clip),
        "full-paper": (None, {}, {}),
        "full-copy": (None, {}, clip),
    }


def test_copys_match_is_the_copy() -> None:
    """Without a difference of budgets the copy's Random follows the copy's Q-Tuning."""
    ladder = deepcopy(LADDER)
    del ladder["differences"]["nominal"], ladder["differences"]["rate"]["base"]
    matches = {v.name: v.match for v in an_experiment(ladder=ladder, variants=[]).variants if v.match}
    assert matches == {
        "random-paper": "qtuning-paper",
        "random-paper+rate": "qtuning-paper",
        "random-paper+clip": "qtuning-paper+clip",
        "random-copy": "qtuning-copy",
    }


def test_steps_go_up_from_the_paper_and_down_from_the_copy() -> None:
    ladder = with_ladder().ladder
    assert ladder is not None
    steps = {step.name: step for step in ladder.steps}
    every = frozenset(["nominal", "lambda", "rate", "clip", "other"])
    assert list(steps) == ["nominal", "lambda", "rate", "clip", "other"]
    assert (steps["nominal"].up, steps["nominal"].down) == ((frozenset(), {"nominal"}), None)
    assert steps["rate"].up == ({"nominal"}, {"nominal", "rate"})
    assert steps["rate"].down == (every - {"rate"}, every)
    assert steps["other"].up == (frozenset(), {"other"})


def test_what_is_based_on_a_difference_goes_with_it_on_the_way_down() -> None:
    ladder = with_ladder(differences__nominal={"label": "N", "random": {"match": None}}).ladder
    assert ladder is not None
    assert ladder.steps[0].down == ({"lambda", "clip", "other"}, {"nominal", "lambda", "clip", "other"})


def test_columns_of_several_differences_follow_one_another() -> None:
    ladder = with_ladder().ladder
    assert ladder is not None
    columns = {"a": {"label": "a", "columns": {"X": "X1", "Y": "Y1"}}, "b": {"label": "b", "columns": {"X1": "X2"}}}
    ladder = type(ladder).model_validate(ladder.model_dump() | {"columns": columns})
    assert ladder.benchmarks(["X", "X1", "X2", "Y", "Y1", "Z"]) == ["X", "Y", "Z"]
    read = {state: [ladder.column(name, frozenset(state)) for name in "XYZ"] for state in ("", "a", "b", "ab")}
    assert read == {"": ["X", "Y", "Z"], "a": ["X1", "Y1", "Z"], "b": ["X", "Y", "Z"], "ab": ["X2", "Y1", "Z"]}


def test_recorded_experiment_is_read_as_it_was() -> None:
    experiment = with_ladder()
    recorded = json.loads(json.dumps(experiment.model_dump(mode="json")))
    assert load(recorded) == experiment
    assert "ladder" not in an_experiment().model_dump()


@pytest.mark.parametrize(
    ("changes", "values", "fix"),
    [
        ({"gap": ["qtuning", "longest"]}, ["gap has no row 'longest'"], "qtuning, random, full"),
        ({"gap": ["full", "full"]}, ["full with itself"], "name two"),
        ({"differences__clip__ful": {"removal": "drop"}}, ["differences.clip has no row 'ful'"], "qtuning, random"),
        ({"differences__rate__base": "nominl"}, ["differences.rate: base", "'nominl'"], "nominal, lambda, clip"),
        ({"rows__random__match": "best"}, ["rows.random: match has no row 'best'"], "qtuning, random, full"),
        ({"rows__label": {"method": "qtuning"}}, ["rows has 'label'"], "rename the row"),
        ({"columns__other__A": "C"}, ["ladder.columns.other", "no column 'C'"], "A, B"),
        ({"columns__clip": {"label": "x", "A": "B"}}, ["columns.clip", "name of a difference"], "rename it"),
        (
            {"differences__lambda__qtuning": {"neighbor_lambda": 0.5}},
            ["ladder.differences.lambda changes nothing in qtuning"],
            "remove",
        ),
        (
            {"differences__lambda__full": {"training": {"packing": True}}},
            ["ladder.differences.lambda changes nothing in full"],
            "remove",
        ),
        ({"differences__lambda__qtuning": {"lamda": 0.5}}, ["ladder", "lamda"], "neighbor_lambda"),
        ({"rows__full__method": "full"}, ["ladder", "full"], "pair"),
    ],
)
def test_wrong_ladder_is_refused(changes: dict[str, Any], values: list[str], fix: str) -> None:
    of_whole = values[0].startswith("ladder")
    with refused("config.yaml" if of_whole else "config.yaml: ladder", *values, fix=fix):
        with_ladder(**changes)


def test_variant_named_like_one_of_the_ladder_is_refused() -> None:
    with refused("config.yaml", "'full-paper'", fix="rename it"):
        an_experiment(variants=[{"full-paper": {"method": "qtuning"}}], ladder=LADDER)


def test_variants_or_a_ladder_are_needed() -> None:
    with refused("config.yaml", "variants is empty", fix="ladder"):
        an_experiment(variants=[])


@pytest.mark.parametrize("file", ["ladder", "ladder_smollm2"])
def test_shipped_ladders_end_in_the_copys_reading(file: str) -> None:
    """All differences together are what `reading: authors-2025-09` sets, and nothing of the paper's row is left out."""
    experiment = load(yaml.safe_load((ROOT / f"experiments/{file}.yaml").read_text()))
    for row, method in (("qtuning", "qtuning"), ("random", "random+random")):
        copy = experiment.variant(f"{row}-copy")
        assert complete_options(method, copy.options) == complete_options(method, {"reading": AUTHORS})
        assert complete_options(method, experiment.variant(f"{row}-paper").options) == complete_options(method, {})
    copy = grid.training_of(experiment, Cell("m", "random-copy", experiment.grid_budgets[0], 0))
    assert (copy.prune_twice, copy.steps, copy.prune_samples) == (True, "kept", "epoch")
