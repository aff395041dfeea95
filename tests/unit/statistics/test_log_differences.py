"""The paired test of logs: published examples, the formulas of others, a permutation test made by hand."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import prunegrid as pg
from prunegrid.statistics.bootstrap import cluster_sums
from prunegrid.statistics.deltas import Contrast, deltas
from support.item_files import BUDGET, cell, write_experiment

Floats = NDArray[np.float64]


def items_of(both: int, won: int, lost: int, neither: int) -> tuple[Floats, Floats]:
    """Baseline and contender, right or wrong on so many items."""
    counts = (both, won, lost, neither)
    return np.repeat([1.0, 0, 1, 0], counts), np.repeat([1.0, 1, 0, 0], counts)


def test_agrestis_example_of_paired_proportions() -> None:
    """Ratings of a prime minister in two surveys of 1,600 people (Agresti, Categorical Data Analysis, section 10.1).

    794 approve in both, 150 in the first only, 86 in the second only, 570 in neither. There: the difference is -0.04,
    its standard error 0.0095, its 95 % interval (-0.06, -0.02), McNemar's statistic 17.36.
    """
    first, second = items_of(794, 86, 150, 570)
    found = pg.compare(first, second)[0]
    assert (found.won, found.lost, found.tied, found.n_items) == (86, 150, 1364, 1600)
    assert found.delta == pytest.approx(-4.0)
    assert (found.item_low, found.item_high) == pytest.approx((-5.87, -2.13), abs=0.02)
    assert 1e-5 < found.item_p < 1e-4  # of 17.36: 3.1e-5
    assert found.mcnemar_p == pytest.approx(3.7e-5, rel=0.02)


def sign_flip_p(diff_U: Floats, draws: int = 0, seed: int = 0) -> float:
    """The share of sign flips whose sum is as far from zero: of all, or of so many at random."""
    if draws:
        signs_JU = np.random.default_rng(seed).choice([-1.0, 1.0], (draws, len(diff_U)))
    else:
        signs_JU = np.array(list(product([-1.0, 1.0], repeat=len(diff_U))))
    return float(np.mean(np.abs(signs_JU @ diff_U) >= abs(diff_U.sum()) - 1e-9))


DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Heights of 15 crossed minus self-fertilised plants of maize, in eighths of an inch (Fisher 1935, section 17)."""


def test_darwins_maize_agrees_with_fishers_t_and_permutation_tests() -> None:
    """Fisher: t = 2.148 (p = 0.0497); 1,726 of the 32,768 sign flips (0.0527) are as extreme."""
    diff_U = np.array(DARWIN, float)
    assert sign_flip_p(diff_U) == pytest.approx(1726 / 32768)
    found = pg.compare(np.zeros(15), diff_U)[0]
    assert found.delta == pytest.approx(20.933, abs=1e-3)
    assert (found.item_low, found.item_high) == pytest.approx((0.03, 41.84), abs=0.05)
    assert found.item_p == pytest.approx(0.0497, abs=5e-4)


def logs_of(rng: np.random.Generator, items: int, gain: float, clusters: int | None = None) -> tuple[Floats, Floats]:
    """Right-or-wrong items of two models with difficulties in common (of a cluster)."""
    difficulty = rng.beta(1.5, 1.5, clusters or items)
    share_I = difficulty if clusters is None else np.repeat(difficulty, items // clusters)
    return tuple((rng.random(items) < np.clip(share_I + shift, 0, 1)).astype(float) for shift in (0, gain))  # type: ignore[return-value]


@pytest.mark.parametrize("gain", [0.0, 0.05, 0.08, 0.12])
def test_p_agrees_with_a_permutation_test(gain: float) -> None:
    first, second = logs_of(np.random.default_rng(3), 400, gain)
    expected = sign_flip_p(second - first, draws=20_000)
    found = pg.compare(first, second)[0].item_p
    assert found == pytest.approx(expected, rel=0.25, abs=0.01)


def clustered(first: Floats, second: Floats, size: int) -> pg.Comparison:
    import pandas as pd

    ids = np.arange(len(first))
    frames = [pd.DataFrame({"id": ids, "score": x, "cluster": ids // size}) for x in (first, second)]
    return pg.compare(*frames)


def test_p_of_clusters_agrees_with_a_permutation_of_whole_clusters() -> None:
    first, second = logs_of(np.random.default_rng(4), 600, 0.06, clusters=60)
    second = np.repeat(second[::10], 10)  # a cluster is right or wrong as a whole
    found = clustered(first, second, 10)[0]
    sums_U = cluster_sums((second - first)[None], np.arange(600) // 10)[0]
    assert found.n_clusters == 60
    assert found.item_p == pytest.approx(sign_flip_p(sums_U, draws=20_000), rel=0.25, abs=0.01)
    assert found.item_p > pg.compare(first, second)[0].item_p


def half_width(found: Any) -> float:
    return float(found.item_high - found.item_low) / 2


def test_intervals_agree_with_millers_formulas() -> None:
    """Miller 2024 (arXiv 2411.00640): paired (section 4.2) and clustered (equation 4) standard errors."""
    first, second = logs_of(np.random.default_rng(5), 1000, 0.05, clusters=100)
    diff_I = second - first
    paired = 100 * diff_I.std(ddof=1) / np.sqrt(1000)
    assert half_width(pg.compare(first, second)[0]) == pytest.approx(1.96 * paired, rel=0.05)
    residual_U = cluster_sums((diff_I - diff_I.mean())[None], np.arange(1000) // 10)[0]
    by_cluster = 100 * np.sqrt((residual_U**2).sum()) / 1000
    assert half_width(clustered(first, second, 10)[0]) == pytest.approx(1.98 * by_cluster, rel=0.06)


def test_own_scale_is_in_its_own_units() -> None:
    """A scale twice as long has twice the differences and limits, and the same p."""
    rng = np.random.default_rng(6)
    first = rng.random(200)
    second = np.clip(first + rng.normal(0.03, 0.2, 200), 0, 1)
    found, double = pg.compare(50 * first, 50 * second)[0], pg.compare(100 * first, 100 * second)[0]
    assert found.score == pytest.approx(50 * second.mean()) and not found.metric_is_share
    for name in ("delta", "item_low", "item_high", "detectable"):
        assert getattr(double, name) == pytest.approx(2 * getattr(found, name))
    assert double.item_p == pytest.approx(found.item_p)


def test_runs_are_paired_in_their_order() -> None:
    rng = np.random.default_rng(7)
    base = [logs_of(rng, 300, 0)[0] for _ in range(3)]
    better = [np.maximum(run, rng.random(300) < 0.15) for run in base]
    found = pg.compare(base, better)[0]
    expected = [100 * (x - y).mean() for x, y in zip(better, base, strict=True)]
    assert found.n_runs == 3 and found.delta == pytest.approx(np.mean(expected))
    assert found.low < found.item_low < found.item_high < found.high
    one = pg.compare(base[0], better)[0]
    assert one.n_runs == 3 and one.delta == pytest.approx(100 * (np.mean(better) - base[0].mean()))


def test_numbers_are_those_of_the_table(tmp_path: Path) -> None:
    """Item files of three seeds, as `collect` reads them and as `prunegrid stats` does."""
    rng = np.random.default_rng(9)
    shares = {"random+random": 0.4, "qtuning": 0.5, "random+ppl": 0.42}
    values = {
        (cell(name, seed), task): list((rng.random(200) < share).astype(float))
        for name, share in shares.items()
        for seed in range(3)
        for task in ("A", "B")
    }
    frame = write_experiment(tmp_path, values)
    table = deltas(frame, tmp_path, [Contrast("m", BUDGET, name, BUDGET, "random+random") for name in list(shares)[1:]])
    folders = [[tmp_path / "evaluation" / cell(name, seed).name for seed in range(3)] for name in shares]
    rows = pg.compare(*folders, names=list(shares)).to_pandas()
    joined = table.merge(rows, left_on=["variant", "benchmark"], right_on=["name", "task"], suffixes=("", "_log"))
    assert len(joined) == 6
    for column in ("delta", "item_low", "item_high", "item_p", "low", "high", "p", "p_adjusted"):
        assert joined[f"{column}_log"].tolist() == pytest.approx(joined[column].tolist()), column


def test_several_entries_are_corrected_together() -> None:
    rng = np.random.default_rng(8)
    logs = [logs_of(rng, 400, 0.06)[gain] for gain in (0, 1, 1, 0)]
    rows = pg.compare(*logs).differences
    assert [row.name for row in rows] == ["B", "C", "D"]
    p = sorted((row.item_p, row.p_adjusted) for row in rows)
    assert p[0][0] < p[0][1] < 3 * p[0][0] + 1e-3, "at most Holm's"
    assert p[1][0] < p[1][1] and p[2][1] == pytest.approx(max(p[1][1], p[2][0]), abs=0.02)


def test_few_clusters_give_no_interval() -> None:
    found = pg.compare([1, 0, 1, 0, 1], [1, 1, 1, 0, 1])[0]
    assert np.isnan([found.item_low, found.item_p, found.detectable]).all()
    assert "too few clusters" in str(pg.compare([1, 0, 1, 0, 1], [1, 1, 1, 0, 1]))
