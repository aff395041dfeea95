"""Which samples each step sees: `steps: kept` and `prune_twice`, worked by hand for 70 samples, 8 a micro-batch."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from prunegrid.experiment.training import Training
from prunegrid.training.schedule import (
    EpochPlanner,
    MicroBatches,
    Timetable,
    constant_timetable,
    schedule,
    second_cut,
    steps_per_epoch,
    timetable,
)
from support.errors import refused

N = 70


def settings(ranks: int = 1, **changes: Any) -> Training:
    return Training(
        **{"ranks": ranks, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "num_train_epochs": 2}
        | changes
    )


def plans(kept: int, training: Training, second_ratio: float | None = None) -> list[list[MicroBatches]]:
    """Of each rank."""
    ids = np.arange(1000, 1000 + kept)
    return [schedule(ids, N, training, 1, rank, second_ratio) for rank in range(training.ranks)]


def sizes(plan: list[MicroBatches]) -> list[list[int]]:
    return [[len(batch) for batch in step] for step in plan]


def rows(all_plans: list[list[MicroBatches]], steps: range) -> list[int]:
    return sorted(row for plan in all_plans for step in steps for batch in plan[step] for row in batch)


@pytest.mark.parametrize(
    ("kept", "ranks", "expected"),
    [
        (8, 1, [[[8, 0]]]),  # 12.5 % of 70; a global batch of 16
        (17, 1, [[[8, 8], [1, 0]]]),
        (35, 1, [[[8, 8], [8, 8], [3, 0]]]),
        (8, 2, [[[8, 0]], [[0, 0]]]),
        (17, 2, [[[8, 1]], [[8, 0]]]),
        (35, 2, [[[8, 8], [3, 0]], [[8, 8], [0, 0]]]),
    ],
)
def test_steps_kept_makes_an_epoch_as_long_as_what_is_kept(kept: int, ranks: int, expected: Any) -> None:
    training = settings(ranks, steps="kept")
    table, both = constant_timetable(kept, N, training), plans(kept, training)
    steps = len(expected[0])
    assert table == Timetable((0, steps, 2 * steps), 2 * steps)
    assert [sizes(plan) for plan in both] == [of_rank * 2 for of_rank in expected]
    for epoch in table.epochs:
        assert rows(both, table.whole(epoch)) == list(range(kept))


@pytest.mark.parametrize(
    ("kept", "ratio", "ranks", "expected"),
    [
        (8, 0.125, 1, [[[1, 0]]]),  # 8 x 12.5 % is 1
        (17, 0.25, 1, [[[2, 2], [1, 0]]]),  # of one sample, one stays
        (35, 0.5, 1, [[[4, 4], [4, 4], [2, 0]]]),  # half of 3 is 1.5, the even neighbour of which is 2
        (8, 0.125, 2, [[[1, 0]], [[0, 0]]]),
        (17, 0.25, 2, [[[2, 1]], [[2, 0]]]),
        (35, 0.5, 2, [[[4, 4], [2, 0]], [[4, 4], [0, 0]]]),
    ],
)
def test_prune_twice_cuts_every_micro_batch(kept: int, ratio: float, ranks: int, expected: Any) -> None:
    training = settings(ranks, steps="kept", prune_twice=True)
    whole, cut = plans(kept, settings(ranks, steps="kept")), plans(kept, training, ratio)
    assert [sizes(plan) for plan in cut] == [of_rank * 2 for of_rank in expected]
    for full_plan, cut_plan in zip(whole, cut, strict=True):
        for full_step, cut_step in zip(full_plan, cut_plan, strict=True):
            for full_batch, cut_batch in zip(full_step, cut_step, strict=True):
                assert [row for row in full_batch if row in cut_batch] == cut_batch, "a part, in the same order"


@pytest.mark.parametrize(
    ("kept", "ratio", "ranks", "expected"),
    [
        (17, 0.25, 1, [1, 1, 1, 1, 1]),  # groups of 8, 8 and 1 leave 2 + 2 + 1
        (35, 0.5, 1, [3, 4, 3, 4, 4]),  # 4 + 4 + 4 + 4 + 2
        (17, 0.25, 2, [1, 2, 2]),
        (35, 0.5, 2, [6, 6, 6]),
    ],
)
def test_prune_twice_spreads_what_is_left_over_the_steps_of_all_data(
    kept: int, ratio: float, ranks: int, expected: list[int]
) -> None:
    """The share does not depend on the number of steps: the very samples are those of `steps: kept`."""
    spread = plans(kept, settings(ranks, prune_twice=True), ratio)
    steps, taken = len(expected), [len(rows(spread, range(step, step + 1))) for step in range(len(spread[0]))]
    assert steps == steps_per_epoch(N, settings(ranks)) and taken == expected * 2
    short = plans(kept, settings(ranks, prune_twice=True, steps="kept"), ratio)
    each = len(short[0]) // 2
    for epoch in range(2):
        first, second = range(epoch * steps, epoch * steps + steps), range(epoch * each, epoch * each + each)
        assert rows(spread, first) == rows(short, second)


@pytest.mark.parametrize("ranks", [1, 2])
def test_prune_twice_that_leaves_a_step_without_samples_is_refused(ranks: int) -> None:
    numbers = (
        f"leaves 1 samples for {5 if ranks == 1 else 3} steps of an epoch",
        f"a global batch of {16 * ranks} x 0.125",
    )
    with refused("training.prune_twice", *numbers, f"is {0.25 * ranks:g}", fix="steps: kept"):
        plans(8, settings(ranks, prune_twice=True), 0.125)


@pytest.mark.parametrize("mode", ["kept", "full"])
def test_two_ranks_see_the_samples_of_one(mode: str) -> None:
    training = {"steps": mode, "prune_twice": True, "num_train_epochs": 1}
    one, two = plans(35, settings(1, **training), 0.5), plans(35, settings(2, **training), 0.5)
    assert rows(one, range(len(one[0]))) == rows(two, range(len(two[0])))


def test_the_second_cut_is_drawn_anew_in_every_epoch_whatever_the_order() -> None:
    ids = np.arange(50, 90)
    first, second = (second_cut(ids, 7, epoch, 0.25) for epoch in (0, 1))
    assert len(first) == len(second) == 10 and set(first) != set(second)
    assert set(ids[::-1][second_cut(ids[::-1], 7, 0, 0.25)]) == set(ids[first])
    assert len(second_cut(ids[:4], 7, 0, 0.375)) == 2, "1.5 is rounded to 2, and 2.5 as well"
    assert len(second_cut(ids[:20], 7, 0, 0.125)) == 2


def test_epochs_may_differ_in_length() -> None:
    """InfoBatch's first epoch has all 70 samples, later ones 17; the job ends within the third."""
    table = timetable(lambda epoch: 17 if epoch else 70, settings(steps="kept", max_steps=8))
    assert table == Timetable((0, 5, 7, 9), 8)
    assert [table.epoch(step) for step in range(9)] == [0, 0, 0, 0, 0, 1, 1, 2, 2]
    assert [table.passes(step) for step in (0, 1, 5, 6, 8)] == [0, 0.2, 1, 1.5, 2.5]
    assert (table.steps_per_epoch, Timetable((0, 3, 6), 6).steps_per_epoch) == (3, 3)


def test_a_planner_spreads_a_part_of_the_samples() -> None:
    """In the order that they have among all of them, which is the epoch's."""
    ids, training = np.arange(100, 170), settings(steps="kept")
    whole = EpochPlanner(ids, training, 3).plan(1, 5, 0, np.arange(70))
    part = np.arange(0, 70, 3)
    planned = EpochPlanner(ids, training, 3).plan(1, 2, 0, part)
    order = [row for step in whole for batch in step for row in batch if row % 3 == 0]
    assert [row for step in planned for batch in step for row in batch] == order


@pytest.mark.parametrize(
    ("ranks", "mode", "digest"),
    [
        (1, "static", "4fdad9fa7b81261c"),
        (1, "dynamic", "497bc04c90687aa5"),
        (2, "static", "8e68dda0d9bdaae6"),
        (2, "dynamic", "5125c8ba4bf61e04"),
    ],
)
def test_the_plan_without_new_keys_is_that_of_version_1(ranks: int, mode: Any, digest: str) -> None:
    """A golden number of the plans that the published sandbox table was made with."""
    training, candidates = Training(ranks=ranks, mode=mode), 2000 if mode == "static" else 350
    golden = [schedule(np.arange(1000, 1350), candidates, training, 3, rank) for rank in range(ranks)]
    assert hashlib.sha256(json.dumps(golden).encode()).hexdigest()[:16] == digest
