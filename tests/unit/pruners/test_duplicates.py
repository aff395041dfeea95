"""`distinct`: one of each group of near duplicates first. Its column is worked out in tests/unit/scoring."""

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.pruners import Draw
from support import handmade_scores
from support.errors import refused

RANKS = [0, 1, 0, 2, 0, 0, 1, 3]


def kept(ranks: list[int], ratio: float, seed: int = 0, order: list[int] | None = None) -> list[int]:
    places = order or [*range(len(ranks))]
    column = {"duplicate_rank": [ranks[i] for i in places]}
    scores = handmade_scores.scores([3] * len(ranks), sample_id=places, samples=column)
    spec = handmade_scores.spec("distinct+random", ratio, 1.0)
    return sorted(pruners.select(scores, spec, Draw(seed)).sample_id.tolist())


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.5, [0, 2, 4, 5]), (0.75, [0, 1, 2, 4, 5, 6]), (0.875, [0, 1, 2, 3, 4, 5, 6])]
)
def test_first_ones_go_before_second_ones(ratio: float, expected: list[int]) -> None:
    assert [kept(RANKS, ratio, seed) for seed in range(5)] == [expected] * 5


def test_among_samples_of_one_rank_the_choice_is_random() -> None:
    """Of four first ones two are kept: each in about half of 400 seeds (standard deviation 10)."""
    counts = np.bincount(np.concatenate([kept(RANKS, 0.25, seed) for seed in range(400)]), minlength=8)
    assert counts[[1, 3, 6, 7]].sum() == 0
    assert np.abs(counts[[0, 2, 4, 5]] - 200).max() < 50


def test_without_repetitions_it_keeps_what_random_keeps() -> None:
    scores = handmade_scores.random_scores(40)
    scores.samples["duplicate_rank"] = np.zeros(40)
    chosen = [
        pruners.select(scores, handmade_scores.spec(f"{name}+random", 0.3, 1.0), Draw(7)).sample_id.tolist()
        for name in ("distinct", "random")
    ]
    assert chosen[0] == chosen[1]


def test_the_order_of_rows_changes_nothing() -> None:
    assert kept(RANKS, 0.375, order=[7, 3, 0, 5, 1, 2, 6, 4]) == kept(RANKS, 0.375)


@pytest.mark.parametrize(("ranks", "ratio", "count"), [([0], 0.1, 1), (RANKS, 1.0, 8), ([0, 1, 2, 3], 0.5, 2)])
def test_counts_are_exact(ranks: list[int], ratio: float, count: int) -> None:
    assert len(kept(ranks, ratio)) == count


def test_scores_without_the_column_are_refused() -> None:
    with refused("the scores", "duplicate_rank", "distinct", fix="prunegrid extra duplicate_rank"):
        scores = handmade_scores.scores([3, 3])
        pruners.select(scores, handmade_scores.spec("distinct+random"), Draw(0))
