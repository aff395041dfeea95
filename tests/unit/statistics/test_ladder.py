"""The decomposition of a ladder's gap: by hand, beside the table's own deltas, with two columns of one benchmark."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import ladder
from prunegrid.experiment.config import Experiment
from prunegrid.statistics import deltas
from prunegrid.statistics.deltas import Contrast
from prunegrid.statistics.ladder import decompose, seeds_to_find
from support.errors import refused
from support.item_files import BUDGET, cell, item_rows, write_experiment, write_items
from support.ladder_folder import laddered, random_values


def points(frame: pd.DataFrame, benchmark: str = "Avg") -> dict[tuple[str, str], float]:
    """By part and difference."""
    rows: Any = frame[frame["benchmark"] == benchmark].itertuples()
    return {(row.part, row.difference): row.points for row in rows}


def test_numbers_are_sums_of_mean_scores(tmp_path: Path) -> None:
    experiment = laddered()
    values = random_values(experiment)
    found = points(decompose(experiment, write_experiment(tmp_path, values), tmp_path))

    def mean(variant: str) -> float:
        return 100 * float(np.mean([values[cell(variant, seed), name] for seed in range(3) for name in "AB"]))

    def gap(first: str, second: str) -> float:
        return mean(f"qtuning-{first}") - mean(f"random-{second}")

    ups = {
        "lambda": gap("paper+lambda", "paper") - gap("paper", "paper"),
        "clip": gap("paper+clip", "paper+clip") - gap("paper", "paper"),
        "rate": gap("paper", "paper+rate") - gap("paper", "paper"),
        "once": gap("paper", "paper+once") - gap("paper", "paper"),
    }
    downs = {
        "lambda": gap("copy", "copy") - gap("paper+clip", "copy"),  # of two differences, the copy without one has one
        "clip": gap("copy", "copy") - gap("paper+lambda", "copy-clip"),
        "rate": gap("copy", "copy") - gap("copy", "copy-rate"),
    }
    total = gap("copy", "copy") - gap("paper", "paper")
    contributions = {name: np.mean([ups[name], *([downs[name]] if name in downs else [])]) for name in ups}
    expected = {("up", name): value for name, value in ups.items()}
    expected |= {("down", name): value for name, value in downs.items()}
    expected |= {("contribution", name): value for name, value in contributions.items()}
    expected |= {("paper", ""): gap("paper", "paper"), ("copy", ""): gap("copy", "copy"), ("total", ""): total}
    expected |= {("left-over", ""): total - sum(contributions.values())}
    assert found == pytest.approx(expected)


def test_step_of_one_row_is_the_tables_delta(tmp_path: Path) -> None:
    """Up, Random with a difference beside Random: the row of deltas.parquet with the sign turned, noise included."""
    experiment = laddered()
    frame = write_experiment(tmp_path, random_values(experiment))
    names = [variant.name for variant in experiment.variants]
    contrasts = [Contrast("m", BUDGET, name, BUDGET, "random-paper") for name in names if name != "random-paper"]
    table = deltas.deltas(frame, tmp_path, contrasts).query("variant == 'random-paper+rate'").set_index("benchmark")
    numbers = decompose(experiment, frame, tmp_path).query("part == 'up' and difference == 'rate'")
    for row in numbers.itertuples():
        other: Any = table.loc[row.benchmark]
        ours = [row.points, row.low, row.high, row.item_se, row.run_se, row.run_df, row.both_se, row.se, row.df, row.p]
        theirs = [-other.delta, -other.high, -other.low, other.item_se, other.run_se, other.run_df, other.both_se]
        assert ours == pytest.approx([*theirs, other.se, other.df, other.p]), row.benchmark
    assert len(numbers) == 3


def test_contributions_alone_are_corrected_together(tmp_path: Path) -> None:
    experiment = laddered()
    frame = decompose(experiment, write_experiment(tmp_path, random_values(experiment)), tmp_path)
    average = frame[frame["benchmark"] == "Avg"]
    assert average["p"].notna().all()
    family = average[average["part"] == "contribution"]
    assert set(family["n_family"]) == {4}
    assert (family["p_adjusted"] >= family["p"]).all()
    assert average.loc[average["part"] != "contribution", "p_adjusted"].isna().all()


def test_missing_cells_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    experiment = laddered()
    values = random_values(experiment)
    lost = [key for key in values if key[0].variant == "random-copy-rate" or key[0] == cell("qtuning-copy", 2)]
    frame = write_experiment(tmp_path, {key: value for key, value in values.items() if key not in lost})
    rows = decompose(experiment, frame, tmp_path).query("benchmark == 'Avg'").set_index(["part", "difference"])
    every = ", ".join(f"random-copy-rate/seed{seed}" for seed in range(3))
    assert rows.loc[("down", "rate"), "missing"] == every, "Q-Tuning's copy is on both sides, and so not in it"
    assert np.isnan(rows.loc[("down", "rate"), "points"])
    assert rows.loc[("copy", ""), ["n_seeds", "missing"]].tolist() == [2, "qtuning-copy/seed2"]
    assert rows.loc[("up", "rate"), ["n_seeds", "missing"]].tolist() == [3, ""]


def test_one_seed_has_item_intervals_only(tmp_path: Path) -> None:
    experiment = laddered(seeds=1)
    rows = decompose(experiment, write_experiment(tmp_path, random_values(experiment)), tmp_path)
    assert rows["item_low"].notna().all()
    assert rows[["low", "p", "p_adjusted"]].isna().all().all()


def columned(**changes: Any) -> Experiment:
    return laddered(names="ABC", columns={"drawn": {"label": "Drawn answers", "A": "C"}} | changes)


def test_other_column_is_read_for_the_benchmark_that_it_replaces(tmp_path: Path) -> None:
    experiment = columned()
    values = random_values(experiment)
    found = points(decompose(experiment, write_experiment(tmp_path, values), tmp_path))

    def gap(end: str, first: str) -> float:
        """On A or C, and B."""
        sides = [
            np.mean([values[cell(f"{row}-{end}", s), name] for s in range(3) for name in f"{first}B"])
            for row in ("qtuning", "random")
        ]
        return 100 * float(sides[0] - sides[1])

    assert found["paper", ""] == pytest.approx(gap("paper", "A"))
    assert found["copy", ""] == pytest.approx(gap("copy", "C"))
    assert found["up", "drawn"] == pytest.approx(gap("paper", "C") - gap("paper", "A"))
    assert found["down", "drawn"] == pytest.approx(gap("copy", "C") - gap("copy", "A"))
    assert "C" not in set(decompose(experiment, write_experiment(tmp_path, values), tmp_path)["benchmark"])


def test_same_answers_in_both_columns_are_no_difference(tmp_path: Path) -> None:
    """Items are paired across columns and a model's luck is common to them: nothing is left but the last floor."""
    experiment = columned()
    values = random_values(experiment)
    values |= {(which, "C"): values[which, "A"] for which, name in list(values) if name == "A"}
    frame = decompose(experiment, write_experiment(tmp_path, values), tmp_path)
    row = frame.query("difference == 'drawn' and part == 'contribution' and benchmark == 'A'").iloc[0]
    assert (row["points"], row["run_se"], row["both_se"]) == pytest.approx((0, 0, 0))
    assert row["item_se"] == pytest.approx(np.sqrt(2) * 100 / 60), "the noise of one more item won and one more lost"
    assert row["p"] == 1
    assert not frame.query("difference == 'drawn' and benchmark == 'B'").size, "B has no part in it"


def test_columns_with_other_items_are_refused(tmp_path: Path) -> None:
    experiment = columned()
    values = random_values(experiment)
    frame = write_experiment(tmp_path, values)
    for which in dict.fromkeys(which for which, _ in values):
        record = write_items(tmp_path, which, "C", item_rows(values[which, "C"]).assign(doc_hash="other"))
    first = record.parents[2] / "qtuning-paper/seed0/C.json"
    with refused(first, "other items than A.json", fix="same data"):
        decompose(experiment, frame, tmp_path)


def test_another_gap_than_the_configs(tmp_path: Path) -> None:
    experiment = laddered()
    frame = write_experiment(tmp_path, random_values(experiment))
    there = points(decompose(experiment, frame, tmp_path))
    back = points(decompose(experiment, frame, tmp_path, ("random", "qtuning")))
    assert back == pytest.approx({key: -value for key, value in there.items()})


def test_more_seeds_find_smaller_contributions(tmp_path: Path) -> None:
    """The effect that this many seeds find is found with this many, and with no fewer."""
    experiment = laddered(names="ABCD")
    frame = decompose(experiment, write_experiment(tmp_path, random_values(experiment, items=300)), tmp_path)
    now, _ = seeds_to_find(frame, 1.0)
    assert 1 < now < 20
    assert seeds_to_find(frame, now)[1] == 3
    assert seeds_to_find(frame, now - 0.01)[1] == 4
    assert seeds_to_find(frame, 0.001)[1] is None
    assert np.isnan(seeds_to_find(frame[frame["n_seeds"] < 2], 1.0)[0])


@pytest.mark.sweep
def test_intervals_cover_and_marks_are_rare_in_simulated_tables() -> None:
    """benchmarks/ladder.py, 150 tables; limits are binomial, at once in 10,000 runs."""
    found = ladder.measures("sandbox", 3, 5.0, 150, seed=1)
    least = 100 * stats.binom.ppf(1e-4, 150, 0.94) / 150
    assert all(min(values) >= least for values in found["coverage"].values()), found
    assert found["false_marks"] <= 100 * stats.binom.isf(1e-4, 150, 0.05) / 150
    assert found["found"] >= 70
