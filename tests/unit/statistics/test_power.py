"""The power of the corrected test: against statsmodels, against draws, and against whole tables that are simulated."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower, TTestPower

from prunegrid.statistics.families import Assessment
from prunegrid.statistics.inference import Noise
from prunegrid.statistics.power import detectable, mde, power, with_seeds
from support.simulated_rows import answers, assessed


@pytest.mark.parametrize(("n", "level"), [(3, 0.05), (5, 0.05), (10, 0.05), (10, 0.004), (30, 0.004)])
def test_mde_is_that_of_statsmodels_t_test(n: int, level: float) -> None:
    size = TTestPower().solve_power(nobs=n, alpha=level, power=0.8)
    assert mde(2 / np.sqrt(n), n - 1, level) == pytest.approx(2 * size, rel=2e-3)


def test_mde_with_known_noise_is_statsmodels_normal() -> None:
    size = NormalIndPower(ddof=0).solve_power(nobs1=1, alpha=0.05, power=0.8, ratio=0)
    assert mde(1.3, 1e7) == pytest.approx(1.3 * size, rel=1e-4)


@pytest.mark.parametrize("df", [2.0, 5.3, 25.0])
def test_power_is_the_share_of_t_tests_that_find_it(df: float) -> None:
    rng = np.random.default_rng(0)
    size = mde(1.5, df, 0.004)
    t = (size / 1.5 + rng.standard_normal(40_000)) / np.sqrt(rng.chisquare(df, 40_000) / df)
    found = (2 * stats.t.sf(np.abs(t), df) < 0.004).mean()
    assert found == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 40_000))


def test_power_of_no_effect_is_the_level() -> None:
    for df in (2, 7.5, 1e6):
        assert power(0, 1, df, 0.01) == pytest.approx(0.01, rel=5e-3)


def test_unknown_noise_has_no_mde() -> None:
    assert np.isnan([mde(np.nan, 5), mde(0.0, 5)]).all()


def rows_of_noise() -> pd.DataFrame:
    """Three rows over three seeds, corrected together, and one of a single seed."""
    return pd.DataFrame(
        {
            "model": "m",
            "sample_ratio": [0.1, 0.1, 0.1, 0.5],
            "token_ratio": 0.5,
            "benchmark": "A",
            "n_seeds": pd.array([3, 3, 3, 1], "Int64"),
            "item_se": [1.0, 1.5, 9.0, 2.0],
            "item_df": [99.0, 99, 99, 199],
            "run_se": [0.5, 2.0, 0.6, np.nan],
            "run_df": [10.0, 10, 10, np.nan],
            "both_se": [0.9, 0.9, 0.9, np.nan],
            "level": [0.02, 0.02, 0.02, np.nan],
            "n_family": pd.array([3, 3, 3, None], "Int64"),
        }
    )


def test_detectable_takes_the_median_row_and_the_families_level() -> None:
    rows = rows_of_noise()
    actual = detectable(rows)
    noise = Noise(1.5, 99, 0.6, 10, 0.9)
    assert actual["n_contrasts"].tolist() == [3, 1]
    assert actual["mde"][0] == pytest.approx(mde(noise.se, noise.df, 0.02))
    assert actual["mde"][1] == pytest.approx(2 * (stats.t.ppf(0.975, 199) + stats.norm.ppf(0.8)), rel=1e-2)
    assert actual["n_family"].isna().tolist() == [False, True]
    assert detectable(rows, keys=())["n_contrasts"].tolist() == [3, 1]
    assert detectable(rows.assign(item_se=np.nan, item_df=np.nan))["mde"].isna().all()


def test_noise_over_more_seeds_is_that_of_the_runs_alone() -> None:
    """Of 2.25 points squared of item noise 0.81 belong to an item and a seed: four times the seeds, a quarter of it."""
    actual = with_seeds(Noise(1.5, 99, 2.0, 10, 0.9), 3, 12)
    assert actual.item_se**2 == pytest.approx(1.44 + 0.81 / 4)
    assert actual.run_se**2 == pytest.approx(1.0)
    assert actual.run_df == pytest.approx(55)
    found = [detectable(rows_of_noise()[:3], seeds=seeds)["mde"].item() for seeds in range(3, 12)]
    assert all(more < fewer for fewer, more in pairwise(found))


def found_effect(rows: list[Assessment]) -> float:
    """The difference that the median row of a table would find four times in five."""
    noises = pd.DataFrame([vars(row.noise) for row in rows])
    frame = noises.assign(benchmark="A", n_seeds=3, level=rows[0].level, n_family=17)
    return float(detectable(frame, keys=())["mde"].item())


@pytest.mark.slow
def test_smallest_difference_is_marked_four_times_in_five_in_whole_tables() -> None:
    """The number that stands below the table, averaged over tables, is found by the whole chain: 80 % of 400 tables."""
    rng = np.random.default_rng(1)
    size = float(np.mean([found_effect(assessed(answers(rng))) for _ in range(40)]))
    marked = [assessed(answers(rng, size))[0].p_adjusted < 0.05 for _ in range(400)]
    assert np.mean(marked) == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 400))


def test_smallest_difference_is_marked_in_most_simulated_tables() -> None:
    """The same for 40 tables: a quick look."""
    rng = np.random.default_rng(2)
    size = float(np.mean([found_effect(assessed(answers(rng))) for _ in range(10)]))
    assert 24 <= sum(assessed(answers(rng, size))[0].p_adjusted < 0.05 for _ in range(40)) <= 39
