"""The published tables through this package's code: every printed number, but for the paper's slips."""

# ruff: noqa: RUF001

import io
from typing import Any

import pandas as pd
import pytest

from prunegrid.experiment.names import AVERAGE
from prunegrid.published import V2_TABLES
from prunegrid.published import frame as published
from prunegrid.results import collect
from prunegrid.table import csv
from prunegrid.table.layout import lay_out

KEY = ["model", "sample_ratio", "token_ratio", "sample_pruner", "token_pruner", "benchmark"]
SLIPS = {
    ("Mistral-7B", "12.5x70", "Entropy", "PPL", "GSM8K", "delta", 0.68, -0.31),
    ("LLaMA2-7B", "25x50", "InfoBatch", "PPL", "ARC-E", "delta", 0.47, -0.36),
    ("Mistral-7B", "12.5x70", "Random", "SparseVLM", "Avg", "score", 38.58, 38.56),
    ("Mistral-7B", "12.5x70", "Random", "SparseVLM", "Avg", "delta", -4.95, -4.98),  # follows from its Avg
}


def rendered(frame: pd.DataFrame) -> pd.DataFrame:
    """What `table.csv` shows, one line per row and column, under the keys of the printed table."""
    text = csv.render(lay_out(frame, title=published.TITLE, note=published.NOTE))
    table = pd.read_csv(io.StringIO(text)).drop(columns="variant").filter(regex="^(?!.* status$)")
    long = table.melt(KEY[1:5], value_name="shown").dropna(subset="shown")
    return long.join(long["variable"].str.extract(r"(?P<model>\S+) (?P<benchmark>\S+) ?(?P<kind>delta)?$"))


@pytest.fixture(scope="module")
def compared() -> pd.DataFrame:
    """Every printed number beside the rendered one."""
    printed = published.printed()
    printed["token_pruner"] = printed["token_pruner"].where(printed["sample_pruner"] != "Q-Tuning")
    scores = printed.assign(kind="score", printed=printed["score"])
    deltas = printed.assign(kind="delta", printed=printed["published_delta"])
    both = pd.concat([scores, deltas])[[*KEY, "kind", "printed"]].dropna(subset="printed")
    return both.merge(
        rendered(published.frame()).fillna({"kind": "score"}), on=[*KEY, "kind"], how="outer", indicator=True
    )


def slip(row: Any) -> tuple[Any, ...]:
    budget = f"{100 * row.sample_ratio:g}x{100 * row.token_ratio:g}"
    return (
        row.model,
        budget,
        row.sample_pruner,
        row.token_pruner,
        row.benchmark,
        row.kind,
        row.printed,
        row.shown,
    )


def test_every_printed_number_is_rendered_and_no_other(compared: pd.DataFrame) -> None:
    assert set(compared["_merge"]) == {"both"}
    assert compared["kind"].value_counts().to_dict() == {"score": 660, "delta": 2 * 3 * 16 * 6}


def test_only_the_slips_differ(compared: pd.DataFrame) -> None:
    slips = compared[(compared["shown"] - compared["printed"]).abs() > 0.015]
    assert {slip(row) for row in slips.itertuples()} == SLIPS


def test_scores_of_benchmarks_are_exactly_as_printed(compared: pd.DataFrame) -> None:
    scores = compared[(compared["kind"] == "score") & (compared["benchmark"] != AVERAGE)]
    assert scores["shown"].tolist() == scores["printed"].tolist()


def test_the_frame_is_a_results_frame() -> None:
    frame = published.frame()
    assert list(frame.columns) == collect.SCHEMA.names
    assert len(frame) == 2 * (1 + 3 * 17 + 1) * 6
    assert not frame.duplicated(["model", "sample_ratio", "token_ratio", "variant", "benchmark"]).any()
    assert set(frame["status"]) == {"done"}
    assert frame["seed"].isna().all()
    assert frame["delta"].notna().sum() == 2 * 3 * 16 * 6


def test_the_frame_names_methods_as_a_config_does() -> None:
    frame = published.frame().drop_duplicates("variant")
    assert frame["variant"].tolist()[:3] == ["zero-shot", "random+random", "random+ppl"]
    joint = frame[frame["variant"] == "qtuning"]
    assert joint["token_pruner"].isna().all()
    assert set(frame["mode"]) == {"dynamic"}


def test_layout_of_the_published_table() -> None:
    table = lay_out(published.frame(), title=published.TITLE)
    assert [group.title for group in table.groups] == [
        "",
        "12.5 % samples × 50 % tokens",
        "12.5 % samples × 70 % tokens",
        "25 % samples × 50 % tokens",
    ]
    assert [len(group.rows) for group in table.groups] == [1, 18, 18, 18]
    assert table.benchmarks == ["ARC-E", "ARC-C", "GSM8K", "SQuAD", "TriviaQA", "Avg"]
    assert table.measures == []
    assert not table.intervals
    assert table.footer == ()
    assert "2509.23873" in published.TITLE


@pytest.mark.parametrize("number", V2_TABLES)
def test_tables_of_v2_are_rendered_with_the_printed_scores(number: int) -> None:
    """Averages that differ are findings of the audit; Full Dataset closes every budget."""
    printed = published.printed_v2().query("table == @number and sample_ratio.notna()")
    printed = printed.assign(token_pruner=_shown(printed)).fillna({"token_pruner": ""})
    shown = rendered(published.table_v2(number)).astype({"token_pruner": "string"}).fillna({"token_pruner": ""})
    shown = shown[shown["kind"].isna()]
    both = printed.merge(shown, on=KEY, validate="one_to_one")
    assert len(both) == len(printed)
    slips = both[(both["shown"] - both["score"]).abs() > 0.015]
    assert len(slips) == {8: 1, 12: 2, 13: 1}.get(number, 0)
    assert set(slips["benchmark"]) <= {"Avg"}


def test_v2_is_whole_and_its_tables_are_all_rendered() -> None:
    printed = published.printed_v2()
    assert len(printed) == 2847
    assert tuple(printed["table"].unique()) == V2_TABLES
    labels = set(printed["sample_pruner"]) | set(printed["token_pruner"].dropna())
    assert labels <= set(published.NAMES)


def test_the_reference_has_every_cell_once() -> None:
    reference = published.reference()
    assert not reference.duplicated(["dataset", *published.CELL, "benchmark"]).any()
    assert set(reference["n_items"].dropna()) == {567, 295, 1319, 11873, 8837, 5000}
    assert reference["n_items"].isna().eq(reference["benchmark"] == AVERAGE).all()
    merged = published.frame().merge(reference, on=["dataset", *published.CELL, "benchmark"])
    assert len(merged) == len(published.frame())


def _shown(printed: pd.DataFrame) -> pd.Series:
    """Token pruners as the table writes them: none for a joint method, prunegrid's spelling."""
    return printed["token_pruner"].replace({"TokenCleaning": "Token Cleaning", "Q-Tuning": None})
