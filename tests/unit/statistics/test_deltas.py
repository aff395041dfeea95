"""The deltas frame: hand-worked differences, what is paired with what, Holm's families, and symmetries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prunegrid.experiment.variant import Budget
from prunegrid.statistics.deltas import SCHEMA, Contrast, deltas, read, write
from prunegrid.statistics.inference import Effect, item_effect, item_noise, recipe_noise
from support.errors import refused
from support.item_files import BUDGET, Values, cell, item_rows, write_experiment, write_items

CONTRAST = Contrast("m", BUDGET, "qtuning", BUDGET, "random+random")
SEED_COLUMNS = ["seed_sd", "run_se", "se", "df", "low", "high", "p", "p_adjusted", "n_family", "significant"]


def right(n: int, of: int = 12) -> list[int]:
    """The first n of 12 items are right."""
    return [int(i < n) for i in range(of)]


def base(seed: int | None = 0) -> Any:
    return cell("random+random", seed)


def qtuning(seed: int | None = 0) -> Any:
    return cell("qtuning", seed)


TWO_SEEDS: Values = {
    (base(0), "A"): right(6),
    (base(1), "A"): right(6),
    (qtuning(0), "A"): right(9),
    (qtuning(1), "A"): right(7),
}


def row(frame: pd.DataFrame, **where: Any) -> Any:
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_by_hand(tmp_path: Path) -> None:
    """Two seeds, + 3 and + 1 of 12 items: 25 and 8.333 points, a standard deviation of 11.785.

    Items: the mean over seeds is 1 once, 0.5 twice, 0 for nine, so squares about the mean of 1/6 sum to
    1 + 0.5 - 12/36 = 7/6, and the variance is 7/6 / (12 x 11) = 88.38 points squared. Three clusters of 30 differ, so
    9 tenths of one item more won and lost, 2 x 8.333^2 = 138.89, are added: 213.38 in all, t with 11: 2.201.
    Items and seeds: half differences between seeds are 0.5 for two items, less their mean of 1/12: squares sum to
    0.5 - 12/144 = 5/12, twice that by 12 x 11 and two seeds is 31.57, the part that both of the others contain.
    Runs: 11.785^2 / 2 = 69.44, less that: 37.88. In all 251.26; degrees of freedom 251.26^2 / (213.38^2 / 11 +
    69.44^2 / 1) = 7.040, t 2.3617, half a width of 37.44. Two seeds are too few for a test.
    """
    actual = row(deltas(write_experiment(tmp_path, TWO_SEEDS), tmp_path, [CONTRAST]), benchmark="A")
    assert (actual.n_seeds, actual.n_items, actual.n_clusters, actual.item_df) == (2, 12, 12, 11)
    assert actual.delta == pytest.approx(100 / 6)
    assert actual.seed_sd == pytest.approx(11.785, abs=0.001)
    assert actual.item_se**2 == pytest.approx(213.38, abs=0.01)
    assert (actual.item_low, actual.item_high) == pytest.approx((16.667 - 32.150, 16.667 + 32.150), abs=0.01)
    assert (actual.run_se**2, actual.both_se**2, actual.run_df) == pytest.approx((37.88, 31.57, 1), abs=0.01)
    assert (actual.se**2, actual.df) == pytest.approx((251.26, 7.040), abs=0.01)
    assert (actual.low, actual.high) == pytest.approx((16.667 - 37.44, 16.667 + 37.44), abs=0.02)
    assert actual[["p", "p_adjusted", "level", "n_family", "significant"]].isna().all()
    assert actual.item_p == pytest.approx(2 * stats.t.sf(actual.delta / actual.item_se, 11))


def test_three_seeds_are_tested(tmp_path: Path) -> None:
    values = {(of(s), "A"): right(4 + 3 * (of is qtuning) + s % 2, 20) for s in (0, 1, 2) for of in (base, qtuning)}
    actual = row(deltas(write_experiment(tmp_path, values), tmp_path, [CONTRAST]), benchmark="A")
    assert 0 < actual.p == actual.p_adjusted < 1
    assert actual.n_family == 1 and actual.significant == (actual.p < 0.05)


def test_one_seed_has_item_noise_only(tmp_path: Path) -> None:
    frame = write_experiment(tmp_path, {(base(), "A"): right(3), (qtuning(), "A"): right(9)})
    actual = row(deltas(frame, tmp_path, [CONTRAST]), benchmark="A")
    assert actual.delta == pytest.approx(50)
    assert 0 < actual.item_low < 50 < actual.item_high < 100
    assert actual[SEED_COLUMNS].isna().all()


def test_fewer_than_ten_clusters_have_no_item_interval(tmp_path: Path) -> None:
    """Twelve items about nine passages; the average of two benchmarks then has none either."""
    values = {
        **TWO_SEEDS,
        **{(of(s), "B"): right(4 + 2 * (of is qtuning), 40) for s in (0, 1) for of in (base, qtuning)},
    }
    frame = write_experiment(tmp_path, values)
    for of, name in TWO_SEEDS:
        write_items(tmp_path, of, name, item_rows(TWO_SEEDS[of, name], clusters="aabbccdefghi"))
    actual = deltas(frame, tmp_path, [CONTRAST])
    for name in ("A", "Avg"):
        few = row(actual, benchmark=name)
        assert (
            few[["item_se", "item_df", "item_low", "item_high", "item_p", "low", "high", "p", "p_adjusted"]]
            .isna()
            .all()
        )
        assert few.seed_sd > 0
    whole = row(actual, benchmark="B")
    assert whole.item_low < whole.delta < whole.item_high
    assert whole.low < whole.delta < whole.high


def test_average_is_over_seeds_that_have_every_benchmark(tmp_path: Path) -> None:
    """Seed 1 lacks B: A is the mean of two seeds, 25 and 8.3, Avg of one: (25 + 20) / 2."""
    values = TWO_SEEDS | {(base(0), "B"): right(2, 20), (qtuning(0), "B"): right(6, 20), (base(1), "B"): right(2, 20)}
    actual = deltas(write_experiment(tmp_path, values), tmp_path, [CONTRAST])
    average = row(actual, benchmark="Avg")
    assert row(actual, benchmark="A").delta == pytest.approx(100 / 6)
    assert (average.delta, average.n_seeds) == (pytest.approx(22.5), 1)
    assert (average.n_items, average.n_clusters) == (32, 32)
    # item variances 3/12 x 9/12 / 11 and 4/20 x 16/20 / 19, of a mean of two, and an item more each way
    parts = np.array([3 / 16 / 11 + 2 / 12**2 * (1 - 3 / 30), 4 / 25 / 19 + 2 / 20**2 * (1 - 4 / 30)])
    assert average.item_se == pytest.approx(100 * np.sqrt(parts.sum()) / 2)
    assert average.item_df == pytest.approx(parts.sum() ** 2 / (parts**2 / [11, 19]).sum())


def test_a_side_without_seeds_is_paired_with_every_seed(tmp_path: Path) -> None:
    zero = cell("zero-shot", None, budget=None)
    full = {(cell("full", seed, budget=None), "A"): right(8 + seed) for seed in range(3)}
    frame = write_experiment(tmp_path, {**TWO_SEEDS, **full, (zero, "A"): right(3)})
    asked = [
        Contrast("m", BUDGET, "qtuning", None, "zero-shot"),
        Contrast("m", None, "full", None, "zero-shot"),
        Contrast("m", None, "zero-shot", BUDGET, "qtuning"),
        Contrast("m", BUDGET, "qtuning", None, "full"),
    ]
    actual = deltas(frame, tmp_path, asked)
    actual = actual[actual["benchmark"] == "A"]
    assert actual["n_seeds"].tolist() == [2, 3, 2, 2]
    assert actual["delta"].tolist() == pytest.approx([500 / 12, 50, -500 / 12, -50 / 12])
    assert actual["sample_ratio"].isna().tolist() == [False, True, True, False]


def test_deltas_are_of_done_cells_only(tmp_path: Path) -> None:
    frame = write_experiment(tmp_path, TWO_SEEDS)
    gone = (frame["variant"] == "qtuning") & (frame["seed"] == 1)
    frame.loc[gone, ["status", "score"]] = ["stale", None]
    assert row(deltas(frame, tmp_path, [CONTRAST]), benchmark="A").delta == pytest.approx(25)
    frame.loc[frame["variant"] == "qtuning", "status"] = "failed"
    assert deltas(frame, tmp_path, [CONTRAST]).empty


def test_rows_of_a_model_budget_and_benchmark_are_corrected_budget_and_benchmark(tmp_path: Path) -> None:
    """Two variants at one budget, one at another: families of two and of one, in each column and in Avg."""
    half = Budget(sample_ratio=0.5, token_ratio=0.5)
    rng = np.random.default_rng(0)
    cells = [cell(v, s, b) for b, vs in ((BUDGET, "xyr"), (half, "xr")) for v in vs for s in range(3)]
    values = {(of, name): (rng.random(100) < 0.3 + 0.3 * (of.variant == "x")) for of in cells for name in "AB"}
    asked = [Contrast("m", b, v, b, "r") for b, v in ((BUDGET, "x"), (BUDGET, "y"), (half, "x"))]
    actual = deltas(write_experiment(tmp_path, values), tmp_path, asked)
    assert (
        actual.groupby(["sample_ratio", "benchmark"])["n_family"].unique().map(list).tolist() == [[2]] * 3 + [[1]] * 3
    )
    for _, family in actual.groupby(["sample_ratio", "benchmark"]):
        small, *large = np.sort(family["p"])
        least, *others = np.sort(family["p_adjusted"])
        assert small <= least <= len(family) * small + 1e-12, "between no correction and Holm's"
        assert others == pytest.approx([max(least, one) for one in large]), "the last row is compared alone"
    assert (actual["level"] > 0.02).all() and (actual.loc[actual["n_family"] == 1, "level"] == 0.05).all()
    assert (actual["significant"] == (actual["p_adjusted"] < 0.05)).all()
    assert actual["significant"].nunique() == 2
    assert (((actual["low"] > 0) | (actual["high"] < 0)) == (actual["p"] < 0.05)).all()


def test_scores_that_are_not_the_items_are_refused(tmp_path: Path) -> None:
    frame = write_experiment(tmp_path, TWO_SEEDS)
    frame.loc[frame["variant"] == "qtuning", "score"] += 1e-4
    variant, baseline = qtuning(), base()
    with refused(f"m/{variant.path} against {baseline.path}, A", "differ by 25.0001 points"):
        deltas(frame, tmp_path, [CONTRAST])


@pytest.mark.parametrize(
    ("contrasts", "value"),
    [
        ([CONTRAST, CONTRAST], "2 times"),
        ([Contrast("m", BUDGET, "qtuning", BUDGET, "qtuning")], "itself"),
    ],
)
def test_families_are_not_padded(tmp_path: Path, contrasts: Sequence[Contrast], value: str) -> None:
    with refused(f"contrast of m: qtuning against {contrasts[0].baseline}", value):
        deltas(write_experiment(tmp_path, TWO_SEEDS), tmp_path, contrasts)


def test_identical_models(tmp_path: Path) -> None:
    """One item more won and lost keep the interval from being a point: sqrt(2) x 8.333 points, t with 11 is 2.201."""
    same = {(of(seed), name): right(6) for of in (base, qtuning) for seed in (0, 1, 2) for name in "AB"}
    actual = deltas(write_experiment(tmp_path, same), tmp_path, [CONTRAST])
    assert (actual[["delta", "seed_sd"]] == 0).all(axis=None)
    of_a = row(actual, benchmark="A")
    ends = [of_a.item_low, of_a.item_high, of_a.low, of_a.high]
    assert ends == pytest.approx([sign * 2.201 * 11.785 for sign in (-1, 1, -1, 1)], abs=0.01)
    assert (actual[["p", "p_adjusted"]] == 1).all(axis=None)


def test_every_item_won_by_every_seed(tmp_path: Path) -> None:
    """Nothing varies, so the p-value is the sign test's over 12 items: 2 x 2^-12."""
    won = {(of(seed), "A"): right(12 if of is qtuning else 0) for of in (base, qtuning) for seed in (0, 1, 2)}
    assert row(deltas(write_experiment(tmp_path, won), tmp_path, [CONTRAST]), benchmark="A").p == pytest.approx(
        2 / 2**12
    )


def test_written_and_read(tmp_path: Path) -> None:
    actual = deltas(write_experiment(tmp_path, TWO_SEEDS), tmp_path, [CONTRAST])
    one_seed = deltas(
        write_experiment(tmp_path, {(base(), "A"): right(3), (qtuning(), "A"): right(9)}), tmp_path, [CONTRAST]
    )
    for frame in (actual, one_seed, actual[:0]):
        write(frame, tmp_path / "deltas.parquet")
        assert list(frame.columns) == SCHEMA.names
        pd.testing.assert_frame_equal(read(tmp_path / "deltas.parquet"), frame)


def test_items_do_not_depend_on_the_other_rows(tmp_path: Path) -> None:
    """Their runs do: a row's noise is estimated over all. The order of benchmarks changes nothing."""
    values = TWO_SEEDS | {(of, "B"): list(reversed(items)) for (of, _), items in TWO_SEEDS.items()}
    values |= {(cell("x", seed), name): right(5 + seed) for seed in (0, 1) for name in "AB"}
    frame = write_experiment(tmp_path, values)
    other = Contrast("m", BUDGET, "x", BUDGET, "random+random")
    alone, beside = (deltas(frame, tmp_path, asked) for asked in ([CONTRAST], [other, CONTRAST]))
    beside = beside[beside["variant"] == "qtuning"].reset_index(drop=True)
    of_items = ["delta", "seed_sd", "item_se", "item_df", "item_low", "item_high", "item_p", "both_se"]
    pd.testing.assert_frame_equal(alone[of_items], beside[of_items])
    assert (alone["run_df"] == 1).all() and (beside["run_df"] > 1).all()
    turned = deltas(frame[::-1], tmp_path, [CONTRAST]).set_index("benchmark").loc[alone["benchmark"]].reset_index()
    pd.testing.assert_frame_equal(turned[alone.columns], alone, rtol=1e-12)


KEPT = ["delta", "seed_sd", "item_se", "item_low", "item_high", "item_p", "se", "df", "low", "high"]


def test_symmetries_of_the_frame(tmp_path: Path) -> None:
    """Swapped sides negate; the order of items in the files and the numbers of seeds change nothing."""
    values = dict(zip(TWO_SEEDS, np.random.default_rng(5).random((4, 12)).tolist(), strict=True))
    frame = write_experiment(tmp_path, values)
    plain = row(deltas(frame, tmp_path, [CONTRAST]), benchmark="A")
    swapped = Contrast("m", BUDGET, "random+random", BUDGET, "qtuning")
    turned = row(deltas(frame, tmp_path, [swapped]), benchmark="A")
    for (of, name), items in values.items():
        write_items(tmp_path, of, name, item_rows(items)[:: -1 if of.seed else 1])
    repeated = row(deltas(frame, tmp_path, [CONTRAST]), benchmark="A")
    np.testing.assert_array_equal(repeated[KEPT].astype(float), plain[KEPT].astype(float))
    renamed = {(cell(of.variant, 7 - of.seed), name): items for (of, name), items in values.items()}
    reseeded = row(deltas(write_experiment(tmp_path, renamed), tmp_path, [CONTRAST]), benchmark="A")
    np.testing.assert_allclose(reseeded[KEPT].astype(float), plain[KEPT].astype(float), atol=1e-9)
    for name, mirror in (("delta", "delta"), ("item_low", "item_high"), ("low", "high")):
        assert turned[name] == pytest.approx(-plain[mirror], abs=1e-9)
    assert turned.item_se == pytest.approx(plain.item_se, abs=1e-9)


def effect_numbers(actual: Effect) -> list[float]:
    """Standard error, and limits and p-values of a lone row for both questions."""
    items, recipe = item_noise(actual), recipe_noise(actual, actual.seed_sd**2, actual.n_seeds - 1)
    return [
        actual.delta,
        actual.both_se,
        *(number for noise in (items, recipe) for number in (noise.se, noise.df, *noise.interval(actual.delta))),
        *(noise.p_value(actual.delta, actual.n_differing) for noise in (items, recipe)),
    ]


differences = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 1.0]), min_size=15, max_size=15)


@settings(max_examples=60, deadline=None)
@given(
    diffs=st.lists(differences, min_size=3, max_size=3),
    items=st.permutations(range(15)),
    seeds=st.permutations(range(3)),
)
def test_symmetries_of_an_effect(diffs: list[list[float]], items: list[int], seeds: list[int]) -> None:
    """Items with their clusters, and seeds, in any order; the other sign; a p-value that agrees with the interval."""
    diffs_SI, cluster_I = np.array(diffs), np.arange(15) % 12
    plain = item_effect(diffs_SI, cluster_I)
    assert effect_numbers(item_effect(diffs_SI[seeds][:, items], cluster_I[items])) == pytest.approx(
        effect_numbers(plain), abs=1e-9
    )
    numbers, turned = effect_numbers(plain), effect_numbers(item_effect(-diffs_SI, cluster_I))
    assert turned[-2:] == pytest.approx(numbers[-2:])
    for low in (4, 8):
        assert numbers[low : low + 2] == pytest.approx([-turned[low + 1], -turned[low]], abs=1e-9)
    for low, p in ((4, -2), (8, -1)):
        excludes = numbers[low] > 0 or numbers[low + 1] < 0
        assert (numbers[p] < 0.05) == excludes or plain.n_differing < 6, "a p-value that agrees with its interval"
