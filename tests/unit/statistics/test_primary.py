"""Contrasts of a config: by the table's own Avg row, by hand over two models, and in simulation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunegrid.experiment.config import Experiment
from prunegrid.statistics import primary
from prunegrid.statistics.deltas import Contrast, deltas
from support.item_files import BUDGET, cell, write_experiment
from support.results_folder import an_experiment

ROWS = ("random+random", "random+ppl", "q0")
HELPS = {"variants": ["q0"], "against": "random+random"}


def stated(models: str = "m", seeds: int = 3, **contrasts: Any) -> Experiment:
    return an_experiment(
        models={name: {"path": "somewhere"} for name in models},
        seeds=list(range(seeds)),
        contrasts=contrasts or {"helps": HELPS},
        references=[],
    )


def random_values(models: str, seeds: int, items: int = 60, rng_seed: int = 0) -> dict[Any, Any]:
    """Right or wrong answers of all rows on A and B, q0 better than the others."""
    rng = np.random.default_rng(rng_seed)
    return {
        (cell(row, seed, model=model), name): (rng.random(items) < 0.4 + 0.3 * (row == "q0")).astype(float)
        for model in models
        for row in ROWS
        for seed in range(seeds)
        for name in "AB"
    }


def answer(root: Path, values: dict[Any, Any], experiment: Experiment) -> pd.DataFrame:
    return primary.primary(experiment, write_experiment(root, values), root)


def test_one_row_of_one_model_is_the_tables_average(tmp_path: Path) -> None:
    values = random_values("m", 3)
    frame = write_experiment(tmp_path, values)
    contrasts = [Contrast("m", BUDGET, row, BUDGET, ROWS[0]) for row in ROWS[1:]]
    table = deltas(frame, tmp_path, contrasts).query("variant == 'q0' and benchmark == 'Avg'").iloc[0]
    (actual,) = primary.primary(stated(), frame, tmp_path).itertuples()
    names = [
        "delta",
        "item_se",
        "item_df",
        "item_low",
        "item_high",
        "run_se",
        "run_df",
        "both_se",
        "se",
        "df",
        "low",
        "p",
    ]
    for name in names:
        assert getattr(actual, name) == pytest.approx(table[name]), name
    assert (actual.n_seeds, actual.n_items) == (3, 120)
    assert actual.p_adjusted == actual.p, "a family of its own"


def test_items_are_common_to_models_and_runs_are_not(tmp_path: Path) -> None:
    """Two models with the very same answers know no more of the items than one does, but their runs count twice."""
    one = random_values("m", 3)
    both = one | {(cell(c.variant, c.seed, model="n"), name): items for (c, name), items in one.items()}
    single = answer(tmp_path / "one", one, stated()).iloc[0]
    double = answer(tmp_path / "both", both, stated("mn")).iloc[0]
    assert double["delta"] == pytest.approx(single["delta"])
    assert double["item_se"] == pytest.approx(single["item_se"])
    assert double["run_se"] ** 2 == pytest.approx(single["run_se"] ** 2 / 2)
    assert double["run_df"] == pytest.approx(2 * single["run_df"])
    assert double["models"] == "m, n"


def test_mean_is_over_the_named_variants_benchmarks_and_models(tmp_path: Path) -> None:
    """By hand: q0 has 9 and random+ppl 6 of 12 right on B, the baseline 3: 50 and 25 points, 37.5 in the mean."""
    right = {"random+random": 3, "random+ppl": 6, "q0": 9}
    values = {
        (cell(row, seed, model=model), name): [
            float(i < (right[row] if name == "B" and model == "m" else 0)) for i in range(12)
        ]
        for model in "mn"
        for row in ROWS
        for seed in range(3)
        for name in "AB"
    }
    contrast = {"variants": ["random+ppl", "q0"], "against": "random+random"}
    experiment = stated(
        "mn",
        narrow=contrast | {"benchmarks": ["B"], "models": ["m"]},
        wide=contrast,
        full_circle={"variants": ["random+random"], "against": "q0", "benchmarks": ["B"], "models": ["m"]},
    )
    frame = answer(tmp_path, values, experiment)
    assert frame["delta"].tolist() == pytest.approx([37.5, 37.5 / 4, -50])
    assert frame["n_family"].tolist() == [3, 3, 3]
    assert (frame["p_adjusted"] >= frame["p"]).all()
    assert frame["contrast"].tolist() == ["narrow", "wide", "full_circle"]


def test_unfinished_model_leaves_the_question_open(tmp_path: Path) -> None:
    values = {key: items for key, items in random_values("mn", 3).items() if key[0].model == "m" or key[1] == "A"}
    row = answer(tmp_path, values, stated("mn")).iloc[0]
    assert row["n_seeds"] == 0
    assert row[["delta", "low", "item_low", "p"]].isna().all()


@pytest.mark.parametrize(("seeds", "known"), [(1, ["item_low"]), (2, ["item_low", "low"])])
def test_few_seeds_are_not_tested(tmp_path: Path, seeds: int, known: list[str]) -> None:
    row = answer(tmp_path, random_values("mn", seeds), stated("mn", seeds)).iloc[0]
    columns = ["item_low", "low", "p", "p_adjusted", "significant"]
    assert [name for name in columns if not pd.isna(row[name])] == known


def test_only_seeds_with_all_cells_count(tmp_path: Path) -> None:
    values = random_values("m", 4)
    del values[cell("q0", 1), "B"]
    assert answer(tmp_path, values, stated("m", 4)).iloc[0]["n_seeds"] == 3


def test_written_and_read(tmp_path: Path) -> None:
    frame = answer(tmp_path, random_values("m", 3), stated())
    primary.write(frame, tmp_path / "c.parquet")
    pd.testing.assert_frame_equal(primary.read(tmp_path / "c.parquet"), frame)


@pytest.mark.slow
def test_false_answers_and_coverage_over_two_models(tmp_path: Path) -> None:
    """No true difference; items have difficulties common to models, and a taste common to a recipe's runs.

    60 experiments of two models, two benchmarks of 60 items, three seeds: marked in at most 5 % of them, and the
    interval covers 0 in at least 95 %, but for four standard deviations of such a count.
    """
    covered = marked = 0
    for number in range(60):
        values = _null_values(np.random.default_rng(number))
        row = answer(tmp_path, values, stated("mn")).iloc[0]
        covered += row["low"] <= 0 <= row["high"]
        marked += bool(row["significant"])
    assert marked <= 3 + 4 * np.sqrt(60 * 0.05 * 0.95)
    assert covered >= 57 - 4 * np.sqrt(60 * 0.05 * 0.95)


def _null_values(rng: np.random.Generator, items: int = 60) -> dict[Any, Any]:
    difficulty = {name: rng.normal(0, 1, items) for name in "AB"}
    taste = {(row, name): rng.normal(0, 0.7, items) for row in ROWS for name in "AB"}
    values = {}
    for model in "mn":
        for row in ROWS:
            for seed in range(3):
                run = rng.normal(0, 0.2)
                for name in "AB":
                    logit = difficulty[name] + taste[row, name] + run + rng.logistic(0, 1, items)
                    values[cell(row, seed, model=model), name] = (logit > 0).astype(float)
    return values
