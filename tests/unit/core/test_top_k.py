"""`top_k`, the per-number rules and the draws against plain sorts and loops."""

from fractions import Fraction

import numpy as np
import pytest

from prunegrid.core import ragged, randomness


@pytest.mark.parametrize("seed", range(20))
def test_top_k_is_a_stable_sort(seed: int) -> None:
    rng = np.random.default_rng(seed)
    key = rng.choice([-np.inf, -1.5, -0.0, 0.0, 2.0, np.inf], rng.integers(1, 40))
    for k in range(len(key) + 1):
        assert ragged.top_k(key, k).tolist() == np.sort(np.argsort(-key, kind="stable")[:k]).tolist()
    among = rng.random(len(key)) < 0.6
    rows = np.flatnonzero(among)
    for k in range(len(key) + 1):
        expected = np.sort(rows[np.argsort(-key[rows], kind="stable")[:k]]).tolist()
        assert np.flatnonzero(ragged.mark_top_k(key, among, k)).tolist() == expected


@pytest.mark.parametrize("numbers", [[], [0], [5, 0, 5, 9, 2, 1], [10**12, 3], [[7, 1], [1, 2]], [-3, 4, 4]])
def test_rules_of_numbers_are_exact(numbers: list[int]) -> None:
    given, factor = np.array(numbers, np.int64), Fraction(7, 10)
    rules = {ragged.floor_times: lambda number: factor * number // 1, ragged.round_times: lambda x: round(factor * x)}
    for rule, function in rules.items():
        actual = rule(factor, given)
        assert actual.shape == given.shape and actual.dtype == np.int64
        assert actual.ravel().tolist() == [function(number) for number in given.ravel().tolist()]


def test_draws_do_not_depend_on_how_many_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, positions = np.arange(1000)[::-1], np.arange(1000) % 7
    whole = [randomness.uniform(3, "x", ids), randomness.uniform(3, "x", ids, positions, step=2)]
    monkeypatch.setattr(randomness, "CHUNK", 64)
    assert np.array_equal(randomness.uniform(3, "x", ids), whole[0])
    assert np.array_equal(randomness.uniform(3, "x", ids, positions, step=2), whole[1])
    assert randomness.uniform(3, "x", 5) == randomness.uniform(3, "x", np.array([5]))[0]
