"""Intervals, p-values and powers against published examples and against statsmodels and scipy."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from statsmodels.formula.api import ols
from statsmodels.regression.linear_model import OLS
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.multitest import multipletests

from prunegrid.statistics.bootstrap import cluster_weights
from prunegrid.statistics.families import Comparison, assess
from prunegrid.statistics.inference import (
    DRAWS,
    Effect,
    Noise,
    adjusted,
    average_effect,
    correlation,
    holm,
    item_effect,
    item_noise,
    recipe_noise,
)
from prunegrid.statistics.run_noise import Column, moderated, prior, run_noise


def known(item_se: float, item_df: float, deltas_S: Any) -> Effect:
    """Item noise with exactly this standard error, none of it belonging to an item and a seed."""
    return Effect(np.asarray(deltas_S, float), np.array([item_se]), 0.0, 0.0, item_df, 1000, 1000, 1000)


def test_items_against_a_published_example() -> None:
    """Agresti (2002), Categorical Data Analysis, section 10.1.1: 1600 people asked twice whether they approve.

    794 do both times, 150 only the first, 86 only the second time, 570 never: -0.04, standard error 0.0095, 95 %
    interval (-0.06, -0.02).
    """
    actual = item_effect(np.array([[0.0] * 794 + [-1] * 150 + [1] * 86 + [0] * 570]))
    assert actual.delta == pytest.approx(-4)
    assert actual.item_se == pytest.approx(0.95, abs=0.006)
    assert np.round(item_noise(actual).interval(actual.delta), 0).tolist() == [-6, -2]


def test_clusters_against_cluster_robust_regression() -> None:
    """The standard error of a constant with clusters of 1 to 9 items, and one without clusters, by statsmodels."""
    rng = np.random.default_rng(3)
    cluster_I = np.repeat(np.arange(80), rng.integers(1, 10, 80))
    diffs_I = rng.normal(size=80)[cluster_I] + rng.normal(size=cluster_I.size)
    fit = OLS(diffs_I, np.ones_like(diffs_I)).fit(cov_type="cluster", cov_kwds={"groups": cluster_I})
    # statsmodels multiplies by (I - 1)/(I - k) too, which is 1 for a constant
    assert item_effect(diffs_I[None], cluster_I).item_se == pytest.approx(100 * fit.bse[0], rel=1e-9)
    plain = OLS(diffs_I, np.ones_like(diffs_I)).fit()
    assert item_effect(diffs_I[None]).item_se == pytest.approx(100 * plain.bse[0], rel=1e-9)
    assert fit.bse[0] > 1.5 * plain.bse[0], "so that ignoring clusters would be seen"


def test_items_against_the_t_test() -> None:
    diffs_I = np.random.default_rng(1).normal(size=40)
    test = stats.ttest_1samp(diffs_I, 0)
    actual = item_effect(diffs_I[None])
    noise = item_noise(actual)
    assert noise.interval(actual.delta) == pytest.approx(tuple(100 * end for end in test.confidence_interval()))
    assert noise.p_value(actual.delta) == pytest.approx(test.pvalue)


def test_seeds_against_the_paired_t_test() -> None:
    """One row and its baseline on one benchmark without item noise: exactly the t test of the differences."""
    ours, base = np.array([61.2, 58.9, 60.4, 63.0, 59.9]), np.array([59.1, 58.5, 59.9, 60.2, 60.1])
    test = stats.ttest_rel(ours, base)
    scores = {"A": {"x": dict(enumerate(ours)), "r": dict(enumerate(base))}}
    (actual,) = assess({"A": [Comparison("x", "r", known(0.0, 99, ours - base))]}, scores)["A"]
    ends = (test.confidence_interval().low, test.confidence_interval().high)
    assert actual.noise.interval(float((ours - base).mean())) == pytest.approx(ends)
    assert (actual.p, actual.p_adjusted, actual.level) == (pytest.approx(test.pvalue), actual.p, 0.05)


def test_noise_of_rows_against_the_randomized_block_anova(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows' variances differ by no more than chance: the residual mean square of the two-way table."""
    monkeypatch.setattr("prunegrid.statistics.run_noise.GUARD", 0)
    rng = np.random.default_rng(8)
    scores_ES = rng.normal(size=(8, 1)) + rng.normal(size=(1, 5)) + rng.normal(size=(8, 5))
    cells = pd.DataFrame({"y": scores_ES.ravel(), "row": np.repeat(np.arange(8), 5), "seed": np.tile(np.arange(5), 8)})
    fit = ols("y ~ C(row) + C(seed)", cells).fit()
    (actual,) = run_noise([Column(scores_ES, 0.0)])
    assert actual.df_E.tolist() == [28] * 8
    assert actual.variance_E == pytest.approx(np.full(8, fit.mse_resid), rel=1e-5)
    missing_ES = scores_ES.copy()
    missing_ES[2, 1:3] = np.nan
    fit = ols("y ~ C(row) + C(seed)", cells.assign(y=missing_ES.ravel()).dropna()).fit()
    (actual,) = run_noise([Column(missing_ES, 0.0)])
    assert actual.df_E.max() == pytest.approx(fit.df_resid)
    assert actual.variance_E[0] == pytest.approx(fit.mse_resid, rel=1e-5)


def test_empirical_bayes_against_its_model() -> None:
    """Variances drawn from a scaled inverse chi-squared with 8 degrees of freedom and scale 3, seen with 4 each."""
    rng = np.random.default_rng(2)
    truth = 3 * 8 / rng.chisquare(8, 200_000)
    seen = truth * rng.chisquare(4, truth.size) / 4
    df, scale = prior(seen, np.full(truth.size, 4.0))
    assert (df, scale) == (pytest.approx(8, rel=0.05), pytest.approx(3, rel=0.02))
    # the posterior mean of 1/variance, by Bayes' rule: where the moderated variance says it is
    near = np.abs(seen / 6 - 1) < 0.05
    assert 1 / np.mean(1 / truth[near]) == pytest.approx((8 * 3 + 4 * 6) / 12, rel=0.02)


def test_empirical_bayes_by_hand() -> None:
    """Smyth's equations: trigamma(d0/2) = variance of e - trigamma(d/2); here logs of 1 and 9 with two each."""
    df, scale = prior(np.array([1.0, 9.0]), np.array([20.0, 20.0]))
    excess = np.log(9) ** 2 / 2 - special.polygamma(1, 10)
    assert special.polygamma(1, df / 2) == pytest.approx(excess)
    mean = np.log(9) / 2 - special.digamma(10) + np.log(10)
    assert np.log(scale) == pytest.approx(mean + special.digamma(df / 2) - np.log(df / 2))
    assert prior(np.array([2.0, 2.0]), np.array([4.0, 4.0])) == (1e6, 2.0), "no more than chance"


def test_moderation_is_guarded() -> None:
    """Seventeen quiet rows and one with nine times their variance: it keeps its own, and its own degrees of freedom."""
    factor_E = np.array([1.0] * 17 + [9.0])
    variance_E, df_E = moderated(factor_E, np.full(18, 10.0), 34)
    assert (variance_E[-1], df_E[-1]) == (9, 10)
    assert (variance_E[:17] < 1.6).all() and (df_E[:17] > 10).all()
    assert (df_E <= 34).all()


@pytest.mark.parametrize(("item", "run", "both"), [(2.0, 1.0, 0.0), (2.0, 3.0, 1.5), (0.5, 0.0, 0.4)])
def test_satterthwaite(item: float, run: float, both: float) -> None:
    noise = Noise(item, 100, run, 7, both)
    assert noise.se == pytest.approx(np.hypot(item, run))
    assert noise.df == pytest.approx((item**2 + run**2) ** 2 / (item**4 / 100 + (run**2 + both**2) ** 2 / 7))


def test_satterthwaite_against_welch() -> None:
    """Two independent variances are Welch's t test, by scipy."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(0, 1, 9), rng.normal(0, 3, 5)
    welch = stats.ttest_ind(x, y, equal_var=False)
    noise = Noise(stats.sem(x), 8, stats.sem(y), 4)
    assert noise.df == pytest.approx(welch.df)
    assert noise.p_value(x.mean() - y.mean()) == pytest.approx(welch.pvalue)


def test_degrees_of_freedom_never_fall_below_those_of_the_parts() -> None:
    """The noise of an item and a seed may be estimated to be larger than the items' noise that contains it."""
    assert Noise(1.0, 39, 0.0, 2, both_se=9.0).df == 2


@pytest.mark.parametrize("ratio", [1e-3, 0.5, 3.0, 7.0, 30.0])
def test_p_is_that_of_the_t_test(ratio: float) -> None:
    noise = Noise(2.0, 149)
    assert noise.p_value(2 * ratio) == pytest.approx(2 * stats.t.sf(ratio, 149), rel=1e-9)


def test_p_of_what_does_not_vary() -> None:
    assert Noise(0.0, 99).p_value(0) == 1
    assert Noise(0.0, 99).p_value(5) == 1e-100
    assert Noise(1.0, 1e4).p_value(500) == 1e-100
    assert Noise(0.0, 99).p_value(5, n_differing=3) == 0.25
    assert Noise(0.0, 99).p_value(5, n_differing=0) == 1


def test_average_is_stratified() -> None:
    """Benchmarks of 40 and 400 items: variances add, and Satterthwaite's degrees of freedom by hand."""
    rng = np.random.default_rng(0)
    parts = [item_effect(rng.normal(size=(2, n))) for n in (40, 400)]
    both = average_effect(parts)
    se = np.array([part.item_se for part in parts])
    assert both.item_se == pytest.approx(np.hypot(*se) / 2)
    assert both.item_df == pytest.approx((se**2).sum() ** 2 / (se**4 / [39, 399]).sum())
    assert both.both_se == pytest.approx(np.hypot(*(part.both_se for part in parts)) / 2)
    assert both.deltas_S == pytest.approx((parts[0].deltas_S + parts[1].deltas_S) / 2)


def test_noise_of_an_item_and_a_seed_is_counted_once() -> None:
    """Pure noise of items and seeds: crossed variance components by hand (two-way ANOVA without replication)."""
    rng = np.random.default_rng(5)
    diffs_SI = rng.normal(size=(4, 50))
    effect = item_effect(diffs_SI)
    residual = diffs_SI - diffs_SI.mean(0) - diffs_SI.mean(1, keepdims=True) + diffs_SI.mean()
    both = (residual**2).sum() / (3 * 49)  # mean square of the interaction
    assert effect.both_se == pytest.approx(100 * np.sqrt(both / 200))
    seeds, items = diffs_SI.mean(1).var(ddof=1), diffs_SI.mean(0).var(ddof=1)
    noise = recipe_noise(effect, 1e4 * seeds, 3)
    assert noise.se**2 == pytest.approx(1e4 * (items / 50 + max(0, seeds / 4 - both / 200)))


def test_recipe_noise_against_crossed_random_effects() -> None:
    """One row, 60 items and 5 seeds, each with an effect of its own (restricted maximum likelihood).

    On balanced data that is the analysis of variance, unless a component is estimated as zero.
    """
    rng = np.random.default_rng(0)
    seeds, items = 5, 60
    diffs_SI = rng.normal(0, 0.3, items) + rng.normal(0, 0.15, (seeds, 1)) + rng.normal(0, 0.4, (seeds, items))
    seed, item = (index.ravel() for index in np.indices((seeds, items)))
    cells = pd.DataFrame({"diff": diffs_SI.ravel(), "seed": seed, "item": item, "whole": 1})
    parts = {"item": "0 + C(item)", "seed": "0 + C(seed)"}
    model = MixedLM.from_formula("diff ~ 1", cells, groups="whole", re_formula="0", vc_formula=parts)
    effect = item_effect(diffs_SI)
    noise = recipe_noise(effect, effect.seed_sd**2, seeds - 1)
    assert noise.se == pytest.approx(100 * float(model.fit(reml=True).bse_fe.iloc[0]), rel=1e-3)


def test_largest_of_independent_rows_is_sidak() -> None:
    """Five independent rows: 1 - (1 - p)^5 for the least, 1 - (1 - p)^4 for the next, within the draws' error."""
    p = np.array([0.3, 0.01, 0.02, 0.9, 0.2])
    actual, level = adjusted(p, np.eye(5))
    expected = [1 - 0.7**2, 1 - 0.99**5, 1 - 0.98**4, 0.9, 1 - 0.8**3]
    assert actual == pytest.approx(expected, abs=4 * np.sqrt(0.25 / DRAWS))
    assert level == pytest.approx(1 - 0.95**0.2, rel=4 * np.sqrt(0.05 * 0.95 / DRAWS) / 0.05)


def test_largest_of_equal_rows_is_no_correction() -> None:
    p = np.array([0.03, 0.03, 0.03])
    actual, level = adjusted(p, np.ones((3, 3)))
    assert actual == pytest.approx(p, abs=0.006)
    assert level == pytest.approx(0.05, rel=0.15)


def test_adjusted_against_dunnett() -> None:
    """Rows that share a baseline of the same size: Dunnett's test (1955) by scipy."""
    rows, size = 6, 400
    rng = np.random.default_rng(9)
    samples = [rng.normal(0.06 * k, 1, size) for k in range(rows)]
    control = rng.normal(0, 1, size)
    expected = stats.dunnett(*samples, control=control).pvalue
    spread = np.sqrt(np.mean([np.var(x, ddof=1) for x in (*samples, control)]) * 2 / size)
    p = np.array([2 * stats.t.sf(abs(x.mean() - control.mean()) / spread, 7 * (size - 1)) for x in samples])
    actual, _ = adjusted(p, np.full((rows, rows), 0.5) + 0.5 * np.eye(rows))
    least = np.argmin(p)
    assert actual[least] == pytest.approx(expected[least], abs=0.01)
    assert (actual <= expected + 0.01).all(), "later steps correct for fewer rows"


def test_adjusted_against_every_permutation() -> None:
    """Three rows, 12 items: the step-down max-t over all 2^12 exchanges of variant and baseline, by hand."""
    rng = np.random.default_rng(11)
    diffs_WI = rng.normal(size=(3, 12)) + 0.9 * rng.normal(size=12) + np.array([[0.9], [0.4], [0.0]])
    signs_JI = np.array(list(product((1, -1), repeat=12)))
    means_JW, squares_W = signs_JI @ diffs_WI.T / 12, (diffs_WI**2).mean(1)
    size_JW = np.abs(means_JW) / np.sqrt((squares_W - means_JW**2) / 11)
    order = np.argsort(-size_JW[0])
    expected = np.maximum.accumulate(
        [(size_JW[:, order[k:]].max(axis=1) >= size_JW[0, order[k]] - 1e-12).mean() for k in range(3)]
    )
    effects = [item_effect(diffs_I[None]) for diffs_I in diffs_WI]
    rows = assess({"A": [Comparison(k, "r", effect) for k, effect in enumerate(effects)]}, {"A": {}})["A"]
    noises = [row.items for row in rows]
    matrix = correlation(effects, noises, np.zeros(3))
    p = np.array([noise.p_value(e.delta) for noise, e in zip(noises, effects, strict=True)])
    assert adjusted(p, matrix)[0][order] == pytest.approx(expected, abs=0.03)


def test_small_p_values_are_holms() -> None:
    """Below what draws resolve; and no adjusted p-value is below its own."""
    p = np.array([1e-9, 0.5, 1e-12])
    actual, _ = adjusted(p, np.eye(3))
    assert actual[[0, 2]] == pytest.approx([2e-9, 3e-12])
    assert actual[1] == pytest.approx(0.5)


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
