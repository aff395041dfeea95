"""Minutes that a scheduler is asked for."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid.experiment.config import Experiment
from prunegrid.plan import gpu_rates, minutes
from support.results_folder import an_experiment, put

P = 7_000_000_000


def time_limit(tmp_path: Path, rule: str, tokens: int, **changes: Any) -> int:
    experiment = an_experiment(models={"m": {"hub": "org/m", "parameters": P}}, device="cuda", **changes)
    put(tmp_path / "scores/m/meta.json", {"tokens": tokens})
    return minutes.minutes(rule, experiment, root=tmp_path)


def test_minutes_of_scoring_follow_parameters_and_tokens(tmp_path: Path) -> None:
    """2 P T operations at 4.6e14 a second in bf16: 1e9 tokens take 8 hours, embeddings less, attention more. Ten times
    that, since no GPU was measured."""
    settings = {"scoring": {"dtype": "bfloat16", "batch_tokens": 65_536}}
    bare = 10 * 2 * P * 1e9 / 4.6e14 / 60
    actual = time_limit(tmp_path, "score", 10**9, **settings)
    assert actual == pytest.approx(bare, rel=0.05)
    assert time_limit(tmp_path, "score", 2 * 10**9, **settings) == pytest.approx(2 * actual, rel=0.01)


def test_minutes_with_measured_rates_have_less_margin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"scoring": {"dtype": "bfloat16", "batch_tokens": 65_536}}
    estimated = time_limit(tmp_path, "score", 10**9, **settings)
    monkeypatch.setattr(gpu_rates, "gpu_rates", lambda: gpu_rates.ESTIMATED.model_copy(update={"source": "measured"}))
    assert time_limit(tmp_path, "score", 10**9, **settings) == pytest.approx(0.4 * estimated, rel=0.01)


def test_minutes_of_training_are_divided_by_the_ranks(tmp_path: Path) -> None:
    def minutes_on_ranks(ranks: int) -> int:
        training = {"ranks": ranks, "bf16": True, "method": "lora", "num_train_epochs": 1}
        return time_limit(tmp_path, "train", 10**9, training=training)

    assert minutes_on_ranks(1) == pytest.approx(8 * minutes_on_ranks(8), rel=0.05)


def test_minutes_of_training_are_those_of_the_slowest_variant(tmp_path: Path) -> None:
    def limit(own: dict[str, Any], epochs: int) -> int:
        variants = ["random+random", {"own": {"method": "random+ppl", "training": own}}]
        training = {"num_train_epochs": epochs, "bf16": True}
        return time_limit(tmp_path, "train", 10**9, training=training, variants=variants)

    assert limit({}, 1) < limit({"num_train_epochs": 6}, 1) == limit({}, 6)
    assert limit({"num_train_epochs": 1}, 6) == limit({}, 6), "Full takes all six"


def test_minutes_are_an_hour_at_least(tmp_path: Path) -> None:
    assert time_limit(tmp_path, "score", 1000) == minutes.MINIMUM == 60


@pytest.mark.parametrize(("rule", "limit"), [("prune", 5), ("benchmark_items", 10), ("table", 30), ("collect", 60)])
def test_minutes_of_small_rules_are_fixed(rule: str, limit: int) -> None:
    assert minutes.minutes(rule, an_experiment()) == limit


def test_minutes_of_every_rule_are_positive() -> None:
    experiment: Experiment = an_experiment()
    for rule in ("world", "dataset", "model", "score", "extra_score", "train", "evaluate", "figures", "audit"):
        assert minutes.minutes(rule, experiment) > 0
