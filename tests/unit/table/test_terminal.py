"""The table on a terminal: 100 columns, whatever the number of benchmarks."""

# ruff: noqa: RUF001

from typing import Any

import pytest

from prunegrid.table import terminal
from support.table_frames import FAILED, NOTE, SMALL, cell, laid_out, seeded

SHOWN = f"""\
T

{NOTE}

Scores in percent. Arrows: points above or below Random + Random at the same model, budget and seed.
missing: not computed yet. failed: a step failed, see its log.

m              A            B            Avg
zero-shot      10.00        20.00        15.00

12.5 % samples × 50 % tokens
random+random  30.00         8.00        19.00
random+ppl     30.00 0.00    7.50 ↓0.50  18.75 ↓0.25
entropy+ppl    failed [1]   failed [1]   failed [1]
qtuning        33.33 ↑3.33   8.00 0.00   20.67 ↑1.67
q0             missing       6.00 ↓2.00  missing
full           40.00        50.00        45.00

[1] m, s0.125-t0.5/entropy+ppl/seed0: train failed, see a/b.log
"""


def test_rows_have_the_names_of_the_paths_and_the_footnotes() -> None:
    assert terminal.render(laid_out(*SMALL, failures=FAILED)) == SHOWN


def many(variant: str, score: float, count: int) -> list[dict[str, Any]]:
    """A row of so many benchmarks, and its average."""
    first, average = cell(variant, score)
    return [*(first | {"benchmark": f"Bench{number:02}"} for number in range(count)), average]


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (2, "10.00 ↓2.00  10.00 ↓2.00  10.00 ↓2.00"),
        (6, "  ".join(["10.0 ↓2.0"] * 7)),
        (8, "  ".join(["10.0   "] * 8 + ["10.0 ↓2.0"])),
        (30, "10.0 ↓2.0"),
    ],
)
def test_table_of_many_benchmarks_stays_within_100_columns(count: int, shown: str) -> None:
    lines = terminal.render(laid_out(many("random+random", 12, count), many("random+ppl", 10, count))).splitlines()
    assert max(map(len, lines)) <= 100
    (row,) = (line for line in lines if line.startswith("random+ppl"))
    assert row.removeprefix("random+ppl").strip() == shown


def test_seeds_are_noted_beside_their_means() -> None:
    assert "(1/3 †)" in terminal.render(seeded())
