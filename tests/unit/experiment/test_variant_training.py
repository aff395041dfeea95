"""`training: {...}` of a variant: whose cells it changes, and what it may not hold."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid, params
from prunegrid.experiment.config import Experiment, load
from prunegrid.experiment.grid import Cell

DEFAULT = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text())


def experiment(own: Any, **training: Any) -> Experiment:
    values: dict[str, Any] = copy.deepcopy(DEFAULT)
    values["variants"] = ["random+random", {"changed": {"method": "random+ppl", "training": own}}]
    values["training"] |= training
    return load(values)


def params_of(experiment: Experiment) -> dict[str, dict[str, Any]]:
    return {cell.path: params.training(experiment, cell) for cell in grid.cells(experiment) if cell.trained}


def test_a_variants_training_is_that_of_its_cells_alone() -> None:
    before = params_of(experiment({}))
    after = params_of(experiment({"learning_rate": 5e-5, "steps": "kept", "prune_twice": True}))
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {path for path in before if "/changed/" in path} and changed
    for path in changed:
        assert after[path] == before[path] | {"learning_rate": 5e-5, "steps": "kept", "prune_twice": True}


def test_new_keys_at_their_defaults_are_no_params() -> None:
    own = {"steps": "full", "prune_samples": "batch", "prune_twice": False, "scheduler_steps": "taken"}
    assert params_of(experiment(own)) == params_of(experiment({}))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"learning_rat": 1e-4}, "training.learning_rat is unknown; did you mean learning_rate?"),
        ({"mode": "dynamic"}, "training.mode cannot be changed by a variant; write it next to training, not inside"),
        ({"ranks": 2}, "training.ranks cannot be changed by a variant; known: "),
        ({"method": "full"}, "training.method cannot be changed by a variant; known: "),
        ({"learning_rate": -1}, "training: learning_rate: is -1; "),
        ({"steps": "keep"}, "training: steps: is 'keep'; "),
        ({"prune_samples": "steps"}, "training: prune_samples: is 'steps'; "),
        ({"scheduler_steps": "all"}, "training: scheduler_steps: is 'all'; "),
    ],
)
def test_wrong_training_of_a_variant_is_one_line(own: dict[str, Any], message: str) -> None:
    with pytest.raises(PrunegridError) as raised:
        experiment(own)
    assert f"variants[1]: {message}" in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_settings_without_effect_are_reset() -> None:
    """A reference cell keeps all: its epochs are whole in any case; a schedule of as many steps as all data is that."""
    ours = experiment({}, steps="kept", prune_twice=True, prune_samples="epoch", scheduler_steps="full")
    full, pruned = (next(cell for cell in grid.cells(ours) if cell.variant == name) for name in ("full", "changed"))
    named = ("steps", "prune_twice", "prune_samples", "scheduler_steps")
    assert [getattr(grid.training_of(ours, full), key) for key in named] == ["full", False, "batch", "taken"]
    assert [getattr(grid.training_of(ours, pruned), key) for key in named] == ["kept", True, "batch", "full"]
    limited = experiment({}, steps="kept", scheduler_steps="full", max_steps=10)
    assert grid.training_of(limited, pruned).scheduler_steps == "taken", "all data would take max_steps, too"
    assert grid.training_of(experiment({}, scheduler_steps="full"), pruned).scheduler_steps == "taken"
    whole = Cell(pruned.model, "changed", pruned.budget and pruned.budget.model_copy(update={"sample_ratio": 1.0}), 0)
    assert not grid.training_of(ours, whole).prune_twice


BY_EPOCH = {"prune_samples": "epoch"}
DYNAMIC = {"method": "random+ppl", "mode": "dynamic"}
SMALL = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (
            [{"d": DYNAMIC | {"training": {"steps": "kept"}}}],
            "d: training.steps: kept cannot be known in mode: dynamic",
        ),
        (
            [{"d": {"method": "qtuning", "mode": "dynamic", "training": BY_EPOCH}}],
            "d: training.prune_samples: epoch needs a pair",
        ),
        (
            [{"d": DYNAMIC}, {"e": DYNAMIC | {"match": "d", "training": BY_EPOCH}}],
            "e: match is for mini-batches; leave it out",
        ),
        (
            [{"d": DYNAMIC | {"training": BY_EPOCH}}, {"e": DYNAMIC | {"match": "d"}}],
            "e: d, its match, prunes no mini-batches",
        ),
        (
            [{"d": DYNAMIC}, {"e": DYNAMIC | {"match": "d", "training": {"prune_twice": True}}}],
            "e: match is met before training.prune_twice",
        ),
        (
            [{"i": {"method": "infobatch+random", "infobatch": "epochs"}}],
            "i: infobatch+random reads losses of earlier epochs; give it mode: dynamic",
        ),
        (
            [{"i": DYNAMIC | {"method": "infobatch+random", "infobatch": "epochs"}}],
            "i: infobatch+random reads losses of earlier epochs; give it mode: dynamic",
        ),
        (
            [{"s": {"method": "random+sstoken"}}],
            "s: sstoken compares losses in training with those before it; give it mode: dynamic",
        ),
        (
            [{"v": DYNAMIC | {"method": "s-ifd+random"}}],
            "v: no mini-batch has the column ifd; give it mode: static",
        ),
        (
            [{"r": {"method": "random+random", "training": SMALL | {"prune_twice": True}}}],
            "r: training.prune_twice leaves steps without a sample: a global batch of 32 x 0.125 x 0.125 is 0.5; "
            "set training.steps: kept",
        ),
        (
            [{"d": DYNAMIC | {"training": {"per_device_train_batch_size": 4}}}],
            "a mini-batch of 4 (training.per_device_train_batch_size) keeps at least one sample",
        ),
    ],
)
def test_trainings_that_pruners_cannot_serve_are_refused(variants: list[Any], message: str) -> None:
    values: dict[str, Any] = copy.deepcopy(DEFAULT) | {"variants": ["random+random", *variants]}
    with pytest.raises(PrunegridError) as raised:
        load(values)
    assert message in str(raised.value) and len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "own",
    [
        SMALL | {"prune_twice": True, "steps": "kept"},
        SMALL | {"prune_twice": True, "gradient_accumulation_steps": 8},  # 64 x 0.125 x 0.125 is 1
    ],
)
def test_a_second_cut_that_leaves_samples_for_all_steps_is_accepted(own: dict[str, Any]) -> None:
    experiment(own)


def test_an_epochs_choice_reads_the_files_of_optional_scores() -> None:
    """IFD is no score of a mini-batch, but of all the data it is there."""
    values: dict[str, Any] = copy.deepcopy(DEFAULT)
    values["variants"] = ["random+random", {"d": DYNAMIC | {"method": "ifd+ppl", "training": BY_EPOCH | SMALL}}]
    ours = load(values)
    cell = next(cell for cell in grid.cells(ours) if cell.variant == "d")
    assert grid.extra_columns(ours, cell) == ["ifd"]
    infobatch = {"method": "infobatch+random", "infobatch": "epochs", "mode": "dynamic", "training": BY_EPOCH}
    values["variants"] = ["random+random", {"d": infobatch}]
    assert grid.extra_columns(load(values), cell) == [], "losses of epochs come from the training itself"


def test_all_samples_are_not_cut_to_a_ratio() -> None:
    """`all` keeps everything whatever the budget, so its ratio is none that a second cut could keep."""
    values: dict[str, Any] = copy.deepcopy(DEFAULT)
    values["variants"] = ["random+random", {"a": {"method": "all", "training": {"prune_twice": True, "steps": "kept"}}}]
    ours = load(values)
    cell = next(cell for cell in grid.cells(ours) if cell.variant == "a")
    assert grid.training_of(ours, cell).prune_twice is False
