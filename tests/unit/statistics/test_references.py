"""Intervals, p-values and powers against published examples and against statsmodels and scipy."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower, TTestPower

from prunegrid.statistics.bootstrap import RESAMPLES, cluster_sums, cluster_weights, resampled_means
from prunegrid.statistics.inference import Effect, average_effect, estimate_effect, holm
from prunegrid.statistics.power import detectable, mde, power

# the standard deviation of a standard error from B resamples is 1 / sqrt(2 B) of it: four of these
TOLERANCE = 4 / np.sqrt(2 * RESAMPLES)


def item_effect(diffs_SI: Any, cluster_I: Any = None) -> Effect:
    """In points."""
    diffs_SI = np.asarray(diffs_SI, float)
    cluster_I = np.arange(diffs_SI.shape[1]) if cluster_I is None else cluster_I
    sums_WU = cluster_sums(diffs_SI.mean(axis=0, keepdims=True), cluster_I)
    sizes_WU = cluster_sums(np.ones((1, len(cluster_I))), cluster_I)
    (draws_J,) = 100 * resampled_means(sums_WU, sizes_WU)
    return estimate_effect(
        100 * diffs_SI.mean(axis=1), draws_J, len(cluster_I), sums_WU.size, np.count_nonzero(sums_WU)
    )


def known(item_se: float, item_df: float, deltas_S: Any) -> Effect:
    """Item noise with exactly this standard error."""
    deltas_S = np.asarray(deltas_S, float)
    return Effect(deltas_S, deltas_S.mean() + item_se * np.array([-1.0, 1.0]), 0.0, item_df, 1000, 1000, 1000)


def test_items_against_a_published_example() -> None:
    """Agresti (2002), Categorical Data Analysis, section 10.1.1: 1600 people asked twice whether they approve.

    794 do both times, 150 only the first, 86 only the second time, 570 never: -0.04, standard error 0.0095, 95 %
    interval (-0.06, -0.02).
    """
    actual = item_effect([[0] * 794 + [-1] * 150 + [1] * 86 + [0] * 570])
    assert actual.delta == pytest.approx(-4)
    assert actual.item_se == pytest.approx(0.95, rel=TOLERANCE)
    assert np.round(actual.item_interval(), 0).tolist() == [-6, -2]


def test_clusters_against_cluster_robust_regression() -> None:
    """The standard error of a constant with clusters of 1 to 9 items, and one without clusters, by statsmodels."""
    rng = np.random.default_rng(3)
    cluster_I = np.repeat(np.arange(80), rng.integers(1, 10, 80))
    diffs_I = rng.normal(size=80)[cluster_I] + rng.normal(size=cluster_I.size)
    fit = OLS(diffs_I, np.ones_like(diffs_I)).fit(cov_type="cluster", cov_kwds={"groups": cluster_I})
    assert item_effect([diffs_I], cluster_I).item_se == pytest.approx(100 * fit.bse[0], rel=TOLERANCE)
    plain = OLS(diffs_I, np.ones_like(diffs_I)).fit()
    assert item_effect([diffs_I]).item_se == pytest.approx(100 * plain.bse[0], rel=TOLERANCE)
    assert fit.bse[0] > 1.5 * plain.bse[0], "so that ignoring clusters would be seen"


def test_item_interval_against_the_t_interval() -> None:
    """Twelve normal items: the ends lie where the t interval's do, within the error of a quantile from 4000 draws."""
    diffs_I = stats.norm.ppf((np.arange(12) + 0.5) / 12)
    low, high = stats.t.interval(0.95, 11, 0, stats.sem(diffs_I))
    assert item_effect([diffs_I]).item_interval() == pytest.approx((100 * low, 100 * high), rel=0.12)
    plain = np.quantile(resampled_means(diffs_I[None], np.ones((1, 12)))[0], [0.025, 0.975])
    assert (plain[1] - plain[0]) < 0.88 * (high - low), "the plain percentile interval is shorter"


def test_seeds_against_the_paired_t_test() -> None:
    ours, base = np.array([61.2, 58.9, 60.4, 63.0, 59.9]), np.array([59.1, 58.5, 59.9, 60.2, 60.1])
    test = stats.ttest_rel(ours, base)
    actual = known(0.0, 99, ours - base)
    assert actual.seed_interval() == pytest.approx((test.confidence_interval().low, test.confidence_interval().high))
    assert actual.interval() == pytest.approx(actual.seed_interval()), "without item noise"
    assert actual.p_value() == pytest.approx(test.pvalue)


@pytest.mark.parametrize("ratio", [1e-3, 0.5, 3.0, 7.0, 30.0])
def test_p_without_seed_noise_is_that_of_the_t_test_over_items(ratio: float) -> None:
    actual = known(2.0, 149, [2 * ratio] * 3)
    assert actual.p_value() == pytest.approx(2 * stats.t.sf(ratio, 149), rel=1e-9)


@pytest.mark.parametrize("seed_sd", [0.0, 1e-6, 0.5, 20.0])
@pytest.mark.parametrize("delta", [0.001, -4.0, 30.0])
def test_p_is_the_level_at_which_the_interval_touches_zero(delta: float, seed_sd: float) -> None:
    actual = known(1.5, 299, delta + seed_sd * np.array([-1, 0, 1]))
    assert actual.half_width(actual.p_value()) == pytest.approx(abs(delta), rel=1e-9)


def test_p_of_what_does_not_vary() -> None:
    assert known(0.0, 99, [0, 0, 0]).p_value() == 1
    assert known(0.0, 99, [5, 5, 5]).p_value() == 1e-100
    assert known(0.0, 99, [3, -3, 0]).p_value() == 1
    assert known(1.0, 1e4, [500, 500, 500]).p_value() == 1e-100


def test_average_is_stratified() -> None:
    """Benchmarks of 40 and 400 items: variances add, and Satterthwaite's degrees of freedom by hand."""
    rng = np.random.default_rng(0)
    parts = [item_effect(rng.normal(size=(2, n))) for n in (40, 400)]
    both = average_effect(
        [
            estimate_effect(p.deltas_S, w, p.n_items, p.n_clusters, p.n_differing)
            for p, w in zip(parts, independent_draws(parts), strict=True)
        ]
    )
    se = np.array([part.item_se for part in parts])
    assert both.item_se == pytest.approx(np.hypot(*se) / 2, rel=TOLERANCE)
    assert both.item_df == pytest.approx((se**2).sum() ** 2 / (se**4 / [39, 399]).sum(), rel=4 * TOLERANCE)
    assert both.deltas_S == pytest.approx((parts[0].deltas_S + parts[1].deltas_S) / 2)


def independent_draws(parts: list[Effect]) -> list[Any]:
    """Normal draws with the spread of a plain bootstrap, independent of each other."""
    rng = np.random.default_rng(1)
    shrink = [np.sqrt((part.n_clusters - 1) / part.n_clusters) for part in parts]
    return [p.delta + s * p.draws_J.std() * rng.normal(size=RESAMPLES) for p, s in zip(parts, shrink, strict=True)]


def test_weights_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(cluster_weights(20, 50, 7)))
    monkeypatch.setattr("prunegrid.statistics.bootstrap.BLOCK", 60)
    assert (np.concatenate(list(cluster_weights(20, 50, 7))) == whole).all()
    assert (whole.sum(axis=1) == 20).all()


def test_holm_against_a_published_example() -> None:
    """The example of https://en.wikipedia.org/wiki/Holm-Bonferroni_method: at 5 % the first and the last are found."""
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert np.isnan(holm(np.array([np.nan]))).all()


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_mde_without_item_noise_is_statsmodels_noncentral_t(n: int) -> None:
    size = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert mde(0.0, 1e6, 2 / np.sqrt(n), n) == pytest.approx(2 * size, rel=2e-3)


def test_mde_without_seed_noise_is_statsmodels_normal() -> None:
    size = NormalIndPower(ddof=0).solve_power(nobs1=1, alpha=0.05, power=0.8, ratio=0)
    assert size == pytest.approx(1.95996 + 0.84162, rel=1e-4)
    assert mde(1.3, 1e7, 0.0, 3) == pytest.approx(1.3 * size, rel=1e-4)
    assert mde(1.3, 1e7, np.nan, 1) == pytest.approx(1.3 * size, rel=1e-4)


def test_power_of_no_effect_is_at_most_the_level() -> None:
    for seed_se in (0.0, 0.3, 1.0, 3.0):
        assert power(0, 1.0, 1e7, seed_se, 3) <= 0.05 + 1e-4


def test_detectable_takes_the_median_row() -> None:
    """Rows with three seeds have a median sd of 2, whose expected median is sqrt(ln 2) = 0.8326 of the true one."""
    rows = pd.DataFrame(
        {
            "model": "m",
            "sample_ratio": [0.1, 0.1, 0.1, 0.5],
            "token_ratio": 0.5,
            "benchmark": "A",
            "n_seeds": pd.array([3, 3, 3, 1], "Int64"),
            "item_se": [1.0, 1.5, 9.0, 2.0],
            "item_df": [99.0, 99, 99, 199],
            "seed_sd": [2.0, 0.1, 7.0, np.nan],
        }
    )
    actual = detectable(rows)
    assert actual["n_contrasts"].tolist() == [3, 1]
    assert actual["item_se"].tolist() == [1.5, 2]
    assert actual["seed_se"].tolist() == pytest.approx([2 / np.sqrt(3 * np.log(2)), np.nan], nan_ok=True)
    assert actual["mde"][0] == pytest.approx(mde(1.5, 99, 2 / np.sqrt(3 * np.log(2)), 3))
    assert actual["mde"][1] == pytest.approx(2 * (stats.t.ppf(0.975, 199) + stats.norm.ppf(0.8)), rel=1e-5)
    assert detectable(rows, keys=())["n_contrasts"].tolist() == [3, 1]
    assert detectable(rows.assign(item_se=np.nan, item_df=np.nan))["mde"].isna().all()
