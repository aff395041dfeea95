"""Amounts as people write them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunegrid.core import ragged
from prunegrid.core.ratios import Amount, read_amount, share_of_count
from support.errors import refused


@pytest.mark.parametrize(
    ("value", "share", "count"),
    [
        (0.125, 0.125, None),
        ("0.125", 0.125, None),
        (".5", 0.5, None),
        ("12.5%", 0.125, None),
        ("33.3 %", 0.333, None),
        ("100%", 1.0, None),
        (1, 1.0, None),
        (1.0, 1.0, None),
        ("1", 1.0, None),
        ("1e-3", 0.001, None),
        (2, None, 2),
        ("5000", None, 5000),
        (np.int64(5000), None, 5000),
        ("20M", None, 20_000_000),
        ("1.5k", None, 1500),
    ],
)
def test_amount_is_a_share_or_a_count(value: Any, share: float | None, count: int | None) -> None:
    amount = read_amount(value, "--samples")
    assert (amount.share, amount.count) == (share, count)


@pytest.mark.parametrize(
    ("value", "what", "fix"),
    [
        (0, "keeps nothing", "12.5%"),
        ("0%", "keeps nothing", "12.5%"),
        ("101%", "more than there is", "100%"),
        ("12,5%", "12,5%", "12.5%"),
        ("5,000", "5,000", "5000"),
        ("1.5", "neither a share nor a whole number", "1.5% as a percentage, 2 as a count"),
        (1.5, "neither a share nor a whole number", "1.5%"),
        ("5000.0", "neither a share nor a whole number", "5000 as a count"),
        ("1.0005k", "neither a share nor a whole number", "1000 as a count"),
        (-0.5, "-0.5", "positive"),
        ("-3", "-3", "positive"),
        ("half", "half", "a share"),
        ("", "''", "a share"),
        (float("nan"), "nan", "a share"),
        (float("inf"), "inf", "a share"),
    ],
)
def test_other_values_are_refused(value: Any, what: str, fix: str) -> None:
    with refused("--samples", what, fix=fix):
        read_amount(value, "--samples")


def test_amount_that_was_read_stays() -> None:
    amount = read_amount("5k", "--samples")
    assert read_amount(amount, "samples") == amount == Amount("--samples", "5k", count=5000)


@given(st.integers(1, 10**8).flatmap(lambda whole: st.tuples(st.integers(1, whole), st.just(whole))))
def test_share_of_a_count_keeps_the_count(numbers: tuple[int, int]) -> None:
    count, whole = numbers
    assert ragged.keep_counts(share_of_count(count, whole), np.array([whole]))[0] == count
