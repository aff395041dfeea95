"""The columns after the scores: what a row kept, trained on and cost, over how many seeds."""

# ruff: noqa: RUF001

import io

import pandas as pd
import pytest

from prunegrid.table import csv, html, latex, markdown, text
from prunegrid.table.document import Measurements
from prunegrid.table.legend import legend
from support.table_frames import SPENT, cell, laid_out, seeded


def test_realised_ratios_stand_at_the_rows_end() -> None:
    kept = {"realised_sample_ratio": 0.1234, "realised_token_ratio": 0.92}
    table = laid_out(cell("zero-shot", 1), cell("qtuning", 1, **kept), cell("random+ppl", 1))
    assert "| Kept" in markdown.render(table)
    assert "| 12.3 × 92.0" in markdown.render(table)
    (frame,) = pd.read_html(io.StringIO(html.render(table)))
    assert frame.iloc[:, -1].tolist() == ["–", "12.5 % samples × 50 % tokens", "–", "12.3 × 92.0"]
    read = pd.read_csv(io.StringIO(csv.render(table)))
    assert read[["m realised samples", "m realised tokens"]].dropna().values.tolist() == [[0.1234, 0.92]]


def test_measures_leave_out_what_only_references_have() -> None:
    assert laid_out(cell("random+ppl", 1), cell("full", 1, **SPENT)).measures == []


def test_cost_is_training_plus_a_share_of_scoring() -> None:
    table = laid_out(
        cell("random+ppl", 1, 2, seed=0, **SPENT),
        cell("random+ppl", 1, 2, seed=1, **SPENT | {"trained_tokens": 12445, "train_seconds": 141.0}),
        cell("qtuning", 1, 2, seed=0, **SPENT | {"scoring_seconds": None}),
        cell("qtuning", 1, 2, seed=1, **SPENT | {"scoring_seconds": None}),
    )
    assert table.measures == ["Kept", "Tokens", "Cost"]
    ppl, qtuning = (row.measurements["m"] for row in table.rows)
    assert ppl == Measurements(realised=(0.125, 0.5134), tokens=12395, cost=140.5, n_seeds=2)
    assert qtuning.cost is None
    assert text.measures(table, table.rows[0], "m") == ["12.5 × 51.3", "12.4k", "140"]
    assert "Cost: training and the row's share of the scoring pass, seconds." in legend(table)
    read = pd.read_csv(io.StringIO(csv.render(table)))
    assert read[["m trained tokens", "m cost seconds"]].iloc[0].tolist() == [12395, 140.5]


def test_steps_passes_and_ends_are_in_every_table() -> None:
    """Means over seeds, whole numbers in CSV; a table of older results has no such columns."""
    counts = {"steps": 315, "sample_passes": 6000, "end_tokens": 5990}
    table = laid_out(
        cell("random+ppl", 1, seed=0, **SPENT | counts),
        cell("random+ppl", 1, seed=1, **SPENT | counts | {"end_tokens": 5991}),
        cell("qtuning", 1, seed=0, **SPENT),
        cell("qtuning", 1, seed=1, **SPENT),
    )
    assert table.measures == ["Kept", "Tokens", "Steps", "Passes", "Ends", "Cost"]
    assert text.measures(table, table.rows[0], "m")[2:5] == ["315", "6.00k", "5.99k"]
    assert text.measures(table, table.rows[1], "m")[2:5] == ["–"] * 3
    for render in (markdown.render, html.render, latex.render):
        shown = render(table)
        assert all(name in shown for name in ("Steps", "Passes", "Ends", "5.99k", "learned ends of sequences"))
    read = pd.read_csv(io.StringIO(csv.render(table)))
    assert read[["m steps", "m sample passes", "m end tokens"]].iloc[0].tolist() == [315, 6000, 5990]
    assert laid_out(cell("random+ppl", 1, **SPENT)).measures == ["Kept", "Tokens", "Cost"]


def test_a_cost_is_in_gpu_hours_where_there_are_any() -> None:
    table = laid_out(cell("random+ppl", 1, **SPENT, gpu_hours=0.25), cell("qtuning", 1, **SPENT, gpu_hours=1.5))
    assert [row.measurements["m"].cost for row in table.rows] == [0.25, 1.5]
    assert "Cost: training and the row's share of the scoring pass, GPU-hours." in legend(table)
    assert "m cost GPU-hours" in csv.render(table)


def test_each_model_has_its_own_measures() -> None:
    other = [row | {"model": "n"} for row in cell("qtuning", 1, **SPENT | {"trained_tokens": 7})]
    table = laid_out(cell("qtuning", 1, **SPENT), other)
    assert [table.rows[0].measurements[model].tokens for model in "mn"] == [12345, 7]
    (frame,) = pd.read_html(io.StringIO(html.render(table)))
    shown = frame.iloc[1].tolist()[2:]
    assert shown == [*("1.00", "1.00", "12.5 × 51.3", "12.3k", "120"), *("1.00", "1.00", "12.5 × 51.3", "7", "120")]


def test_seeds_are_a_column_where_rows_have_different_numbers() -> None:
    table = seeded()
    assert table.measures[-1] == "Seeds"
    assert [row.measurements["m"].n_seeds for row in table.rows] == [None, 3, 3, 1, 1, 0, 0]
    assert "Seeds: those with every benchmark." in legend(table)
    equal = [cell(name, 1, seed=seed) for name in ("random+ppl", "qtuning") for seed in (0, 1)]
    assert laid_out(cell("zero-shot", 1), *equal).measures == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((None, "–"), (0.0, "0.00"), (0.04171, "0.0417"), (17.19, "17.2"), (447.0, "447"), (999.6, "1.00k")),
        *((5350.0, "5.35k"), (12345.0, "12.3k"), (999600.0, "1.00M"), (123456789.0, "123M"), (2e9, "2.00G")),
    ],
)
def test_three_digits_count(value: float | None, shown: str) -> None:
    assert text.compact(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.0, "0"), (80.0, "80"), (80.5, "80.5"), (999.0, "999"), (1000.0, "1.00k")]
)
def test_whole_counts_have_no_decimals(value: float | None, shown: str) -> None:
    """A row that never learns an end has 0; a mean over seeds may be no whole number."""
    assert text.count(value) == shown


@pytest.mark.parametrize(("kept", "shown"), [((0.125, 0.5), "12.5 × 50.0"), ((1, 1), "100 × 100"), (None, "–")])
def test_kept_in_percent(kept: tuple[float, float] | None, shown: str) -> None:
    assert text.percent(kept) == shown
