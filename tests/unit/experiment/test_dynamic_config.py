"""What an experiment may ask of dynamic mode, and the one clear line where it may not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.config import load

DEFAULT = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text())


def config(*variants: Any, mode: str | None = None) -> dict[str, Any]:
    values: dict[str, Any] = copy.deepcopy(DEFAULT) | {"variants": ["random+random", *variants]}
    values["training"] |= {"mode": mode} if mode else {}
    return values


DYNAMIC = {"method": "random+ppl", "mode": "dynamic"}


STATIC = {"method": "random+random", "mode": "static"}
WINDOW = "in mode: dynamic the window is the mini-batch; remove window"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            config({"d": DYNAMIC}, {"s": STATIC | {"match": "d"}}),
            "s is static and d, its match, dynamic; give both the same mode",
        ),
        (
            config({"d": DYNAMIC | {"method": "ifd+ppl"}}),
            "d: no mini-batch has the column ifd; give it mode: static",
        ),
        (
            config({"d": {"method": "random+fastv", "fastv": "original"}}, mode="dynamic"),
            "d: no mini-batch has the column fastv_layer2; give it mode: static",
        ),
        (
            config({"s": STATIC | {"method": "ifd+ppl"}}, {"d": DYNAMIC | {"match": "s"}}),
            "d: its match s: no mini-batch has the column ifd; give it mode: static",
        ),
        (config({"d": {"method": "qtuning", "mode": "dynamic", "window": 100}}), f"d: {WINDOW}"),
        (
            config({"s": STATIC | {"method": "qtuning", "window": 100}}, {"d": DYNAMIC | {"match": "s"}}),
            f"d: its match s: {WINDOW}",
        ),
        (config({"d": DYNAMIC | {"mode": "dynamc"}}), "mode: is 'dynamc'"),
    ],
)
def test_dynamic_variants_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(PrunegridError) as raised:
        load(values)
    assert message in str(raised.value) and len(str(raised.value).splitlines()) == 1


CONVERSATIONS = {"dataset": {"name": "d", "path": "d.json", "turns": "all"}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unit": "conversation"}, "unit: conversation needs dataset.turns: all"),
        (
            CONVERSATIONS | {"references": ["shuffled-responses"]},
            "shuffled-responses cannot replace the answers",
        ),
        (CONVERSATIONS | {"variants": [{"d": DYNAMIC}]}, "d: mode: dynamic scores an answer at a time"),
    ],
)
def test_what_conversations_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(PrunegridError) as raised:
        load(config() | values)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def sized_config(size: int, ratios: list[float], *variants: Any, mode: str | None = None) -> dict[str, Any]:
    """A configuration whose mini-batches have this size, at these sample ratios."""
    values = config(*variants, mode=mode)
    values.pop("budgets", None)
    values |= {"sample_ratios": ratios, "token_ratios": [0.5]}
    values["training"]["per_device_train_batch_size"] = size
    return values


@pytest.mark.parametrize(("size", "ratios", "least"), [(4, [0.5, 0.2], 5), (9, [0.1], 10), (3, [0.3], 4)])
def test_dynamic_mini_batches_too_small_are_refused(size: int, ratios: list[float], least: int) -> None:
    """They would keep a sample each, more than they may."""
    for values in (sized_config(size, ratios, {"d": DYNAMIC}), sized_config(size, ratios, mode="dynamic")):
        with pytest.raises(PrunegridError) as raised:
            load(values)
        problem = (
            f"a mini-batch of {size} (training.per_device_train_batch_size) keeps at least one sample, more than the"
        )
        assert f"{problem} sample_ratio {min(ratios)}; give {least} or more" in str(raised.value)
        assert len(str(raised.value).splitlines()) == 1
    load(sized_config(least, ratios, {"d": DYNAMIC}))
    load(sized_config(size, ratios, {"s": STATIC | {"method": "random+ppl"}}))


ROUNDED = {"q": {"method": "qtuning", "mode": "dynamic", "sample_count": "round"}}
MATCHED = {"d": DYNAMIC | {"match": "q"}}


def test_dynamic_mini_batches_may_keep_one_sample_where_the_counts_say_so() -> None:
    """At 6.25 % of 8 `sample_count: round` keeps one, and a pair that matches it as many."""
    copy = {"c": {"method": "qtuning", "mode": "dynamic", "reading": "authors-2025-09"}}
    load(sized_config(8, [0.0625], ROUNDED, MATCHED, copy))


@pytest.mark.parametrize(
    ("variants", "name"),
    [
        ([{"d": DYNAMIC}], "d"),
        ([{"q": {"method": "qtuning", "mode": "dynamic"}}], "q"),
        ([{"q": ROUNDED["q"] | {"sample_count": "floor"}}], "q"),
        ([{"q": ROUNDED["q"] | {"fill": "none"}}], "q"),
        ([{"d": DYNAMIC | {"token_count": "round"}}], "d"),
        ([{"s": STATIC}, {"d": DYNAMIC | {"match": "s"}}], "d"),
        ([ROUNDED, {"d": DYNAMIC}], "d"),
    ],
)
def test_dynamic_mini_batches_too_small_are_refused_where_counts_are_rounded_down(
    variants: list[Any], name: str
) -> None:
    with pytest.raises(PrunegridError) as raised:
        load(sized_config(8, [0.0625], *variants))
    message = f"{name}: a mini-batch of 8 (training.per_device_train_batch_size) keeps at least one sample, more than"
    assert f"{message} the sample_ratio 0.0625; give 16 or more" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "variant",
    [
        {"method": "qtuning", "entropy_over": "sequence"},
        {"method": "random+fastv", "fastv": "sequence"},
        {"method": "random+sparsevlm", "sparsevlm": "rank"},
        {"method": "longest+random", "length_of": "instruction"},
        {"method": "entropy+random", "entropy": "instruction"},
        {"method": "random+rho1"},
    ],
    ids=lambda variant: variant["method"],
)
def test_optional_scores_of_the_moment_and_fixed_ones_serve_mini_batches(variant: dict[str, Any]) -> None:
    values = config({"d": variant | {"mode": "dynamic"}})
    for model in values["models"].values():
        model["reference"] = {"path": "reference"}
    load(values)


def test_mode_of_a_variant_overrides_the_experiments() -> None:
    load(config({"s": STATIC | {"method": "ifd+ppl"}}, mode="dynamic"))


def test_dynamic_variant_may_match_a_static_one() -> None:
    load(config({"s": {"method": "qtuning", "mode": "static"}}, {"d": DYNAMIC | {"match": "s"}}))
