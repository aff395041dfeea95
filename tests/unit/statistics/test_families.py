"""Families of rows: small ones, missing seeds, sides without seeds, nothing that varies."""

from typing import Any

import numpy as np
import pytest

from prunegrid.statistics.families import Assessment, Comparison, assess
from prunegrid.statistics.inference import average_effect, item_effect


def answers(rng: np.random.Generator, seeds: int = 3, share: float = 0.4, items: int = 120) -> Any:
    return (rng.random((seeds, items)) < share).astype(float)


def scores_of(values_SI: Any) -> dict[int | None, float]:
    return dict(enumerate(100 * values_SI.mean(axis=1)))


def column(values: dict[str, Any], baseline: str = "r") -> tuple[list[Comparison], dict[str, dict[int | None, float]]]:
    """Comparisons over the seeds that both sides have."""
    rows = []
    for name, values_SI in values.items():
        seeds = min(len(values_SI), len(values[baseline]))
        if name != baseline:
            rows.append(Comparison(name, baseline, item_effect(values_SI[:seeds] - values[baseline][:seeds])))
    return rows, {name: scores_of(values_SI) for name, values_SI in values.items()}


def assessed(values: dict[str, Any]) -> dict[str, Assessment]:
    rows, scores = column(values)
    return {str(row.comparison.variant): row for row in assess({"A": rows}, {"A": scores})["A"]}


def test_a_lone_row_has_the_variance_of_its_differences() -> None:
    rng = np.random.default_rng(0)
    x, r = answers(rng), answers(rng)
    found = assessed({"x": x, "r": r})["x"]
    effect = found.comparison.effect
    assert found.noise.run_df == pytest.approx(2)
    total = found.noise.run_se**2 + effect.both_se**2
    assert total == pytest.approx(max(effect.seed_sd**2 / 3, effect.both_se**2))
    assert (found.p_adjusted, found.level, found.n_family) == (found.p, 0.05, 1)


def test_a_row_that_lacks_a_seed_is_not_tested_but_helps() -> None:
    rng = np.random.default_rng(1)
    values = {name: answers(rng) for name in "rxyz"} | {"short": answers(rng)[:2], "single": answers(rng)[:1]}
    found = assessed(values)
    assert {name: row.n_family for name, row in found.items()} == {"x": 3, "y": 3, "z": 3, "short": 0, "single": 0}
    assert np.isnan(found["short"].p) and found["short"].noise.se > 0
    assert np.isnan(found["single"].noise.se) and found["single"].item_p > 0
    # residuals of rows and seeds: 15 cells, 6 rows, 3 seeds, one of them the mean
    assert max(row.noise.run_df for row in found.values() if row.n_family) == pytest.approx(7)


def test_a_baseline_without_seeds_adds_no_run_noise() -> None:
    rng = np.random.default_rng(2)
    zero_SI = answers(rng, seeds=1)
    values = {name: answers(rng) for name in "xyz"}
    rows = [Comparison(name, "zero", item_effect(values_SI - zero_SI)) for name, values_SI in values.items()]
    scores: dict[str, dict[int | None, float]] = {name: scores_of(v) for name, v in values.items()}
    scores["zero"] = {None: 100 * float(zero_SI.mean())}
    found = assess({"A": rows}, {"A": scores})["A"]
    assert [row.shared for row in found] == [0, 0, 0]
    assert all(row.n_family == 3 and 0 < row.p <= row.p_adjusted <= 1 for row in found)
    assert all(row.noise.run_df <= 6 for row in found)


def test_nothing_varies() -> None:
    same = answers(np.random.default_rng(3), seeds=1).repeat(3, axis=0)
    found = assessed({"r": same, "x": same, "y": same.copy()})
    for row in found.values():
        assert (row.p, row.p_adjusted, row.item_p) == (1, 1, 1)
        assert row.noise.se > 0, "one more item won and one more lost"
    worse = assessed({"r": same, "x": same, "y": 0 * same})
    assert worse["y"].p_adjusted < 1e-6 and worse["x"].p == 1


def test_order_of_rows_changes_nothing_but_the_last_digits() -> None:
    rng = np.random.default_rng(4)
    values = {name: answers(rng, share=0.3 + 0.02 * i) for i, name in enumerate("rabcdefg")}
    plain = assessed(values)
    turned = assessed(dict(reversed(values.items())))
    for name, row in plain.items():
        assert turned[name].p == pytest.approx(row.p)
        assert turned[name].p_adjusted == pytest.approx(row.p_adjusted, abs=0.01)


def test_a_noisy_row_keeps_its_noise_in_every_column() -> None:
    """One row's runs shift by 20 points, on five benchmarks and on average; the others' do not."""
    rng = np.random.default_rng(5)
    names = ["r", *"abcdefgh"]
    shift = {name: (0.2 if name == "h" else 0.0) * np.array([-1, 0, 1]) for name in names}
    columns, scores = {}, {}
    for benchmark in "ABCDE":
        values = {
            name: (rng.random((3, 300)) < 0.5 + np.array(rng.permutation(shift[name]))[:, None]).astype(float)
            for name in names
        }
        columns[benchmark], scores[benchmark] = column(values)
    columns["Avg"] = [
        Comparison(name, "r", average_effect([columns[benchmark][i].effect for benchmark in "ABCDE"]))
        for i, name in enumerate(names[1:])
    ]
    scores["Avg"] = {n: {s: float(np.mean([scores[b][n][s] for b in "ABCDE"])) for s in range(3)} for n in names}
    for name, rows in assess(columns, scores, averages=["Avg"]).items():
        *quiet, noisy = [row.noise.run_se for row in rows]
        assert noisy > 2 * max(quiet), name
