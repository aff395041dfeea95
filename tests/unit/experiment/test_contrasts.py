"""The section `contrasts`: what it takes, what it refuses, and that configs without it are dumped as before."""

from typing import Any

import pytest

from prunegrid.experiment.config import load
from support.errors import refused
from support.results_folder import an_experiment

BUDGET = {"sample_ratio": 0.5, "token_ratio": 0.5}


def stated(**changes: Any) -> Any:
    return an_experiment(contrasts={"helps": {"variants": ["q0"], "against": "random+random"} | changes})


def test_everything_is_averaged_over_unless_named() -> None:
    experiment = stated()
    contrast = experiment.contrasts["helps"]
    assert contrast.members("benchmarks", ["A", "B"]) == ["A", "B"]
    assert contrast.members("budgets", experiment.grid_budgets) == experiment.grid_budgets
    assert stated(benchmarks=["B"]).contrasts["helps"].members("benchmarks", ["A", "B"]) == ["B"]
    assert load(experiment.model_dump(mode="json")) == experiment


def test_config_without_contrasts_is_dumped_as_before() -> None:
    assert "contrasts" not in an_experiment().model_dump()


@pytest.mark.parametrize(
    ("changes", "value", "fix"),
    [
        ({"variants": ["q1"]}, "variants has no q1", "random+random, random+ppl, q0"),
        ({"benchmarks": ["C"]}, "benchmarks has no C", "A, B"),
        ({"models": ["n"]}, "models has no n", "m"),
        ({"budgets": [BUDGET]}, "budgets has no s0.5-t0.5", "s0.125-t0.5"),
        ({"against": "best"}, "'best'", "zero-shot, full"),
        ({"against": "shuffled-responses"}, "'shuffled-responses'", "zero-shot, full"),
    ],
)
def test_unknown_name_is_refused(changes: dict[str, Any], value: str, fix: str) -> None:
    with refused("config.yaml", "contrasts.helps", value, fix=fix):
        stated(**changes)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"variants": ["q0", "q0"]}, "q0 more than once"),
        ({"against": "q0"}, "compared with itself"),
    ],
)
def test_contrast_with_itself_is_refused(changes: dict[str, Any], value: str) -> None:
    with refused("config.yaml: contrasts.helps", value):
        stated(**changes)


@pytest.mark.parametrize("axis", ["variants", "benchmarks", "models", "budgets"])
def test_empty_family_is_refused(axis: str) -> None:
    place = f"config.yaml: contrasts.helps.{axis}"
    with pytest.raises(Exception, match="at least 1 item") as caught:
        stated(**{axis: []})
    assert place in str(caught.value)
