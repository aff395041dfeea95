"""From the table's numbers back to item files made by hand; a number that its items do not give is found."""

import random
import re
from pathlib import Path

import pandas as pd
import pytest

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.statistics import deltas
from prunegrid.table import trace
from prunegrid.table.build import FORMATS, build
from prunegrid.table.trace import trace_all, trace_one
from support.results_folder import an_experiment, answer, finish, put, shared_files

PPL = "m/s0.125-t0.5/random+ppl/seed1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    experiment, draw = an_experiment(), random.Random(0)
    put(tmp_path / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(tmp_path, experiment)
    for cell in grid.cells(experiment):
        finish(tmp_path, cell, 1, 1)
        answer(tmp_path, cell, "A", [draw.randint(0, 1) for _ in range(40)])
        answer(tmp_path, cell, "B", [draw.random() for _ in range(15)])
    build(tmp_path)
    return tmp_path


def test_every_number_is_found_again(root: Path) -> None:
    """1 + 3 x 2 + 2 cells; deltas of two variants x 2 seeds x 3 columns; the table: 5 rows, 4 of them with a spread
    over seeds, 2 with deltas, x 3.
    """
    build(root, "full")
    traced = trace_all(root)
    assert traced[:5] == (18, 9, 12, 15 + 12 + 6, 9 * (40 + 15))
    names = {f"table{folder}/table.{ending}" for folder in ("", "/against-full") for ending in FORMATS}
    made = {"results.parquet", "deltas.parquet", "table/against-full/deltas.parquet", *names}
    assert {str(file.relative_to(root)) for file in traced.files} == made


def test_one_number_step_by_step(root: Path) -> None:
    lines = "\n".join(trace_one(root, PPL, "A"))
    ours, base = (
        pd.read_parquet(root / "evaluation/m/s0.125-t0.5" / variant / "seed1/A.parquet")["value"]
        for variant in ("random+ppl", "random+random")
    )
    assert f"= 100 x {ours.sum():g} / 40 items in {root}/evaluation/{PPL}/A.parquet" in lines
    assert f"delta {100 * (ours - base).mean():+.2f} points over 40 items" in lines
    better = (ours > base).to_numpy().nonzero()[0]
    assert f"better on {len(better)}: doc_id {', '.join(map(str, better[:20]))}" in lines
    assert "weights s0.125-t0.5/" in lines


@pytest.mark.parametrize("column", ["score", "delta", "trained_tokens", "realised_token_ratio", "train_seconds"])
def test_a_changed_result_is_found(root: Path, column: str) -> None:
    frame = collect.read(root / "results.parquet")
    frame.loc[frame["delta"].notna(), column] += 1
    collect.write(frame, root / "results.parquet")
    with pytest.raises(
        PrunegridError, match=rf"results\.parquet: m, random\+ppl/seed0, A: {column} is .* where the steps"
    ):
        trace_all(root)


@pytest.mark.parametrize("column", ["delta", "item_se", "low", "n_seeds"])
def test_a_changed_interval_is_found(root: Path, column: str) -> None:
    frame = deltas.read(root / "deltas.parquet")
    frame[column] += 1
    deltas.write(frame, root / "deltas.parquet")
    with pytest.raises(PrunegridError, match=rf"deltas\.parquet: m, random\+ppl, A: {column} is .* where the steps"):
        trace_all(root)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_changed_table_is_found(root: Path, ending: str) -> None:
    """One digit; a line less; no file. Who made it may differ."""
    path = root / f"table/table.{ending}"
    text = path.read_text()
    path.write_text(text.replace("table by prunegrid 0", "table by prunegrid 9"))
    assert trace_all(root)
    score = f"{collect.read(root / 'results.parquet')['score'].iloc[0]:.2f}"
    assert score in text
    for broken in (text.replace(score, "99.99", 1), "\n".join(text.splitlines()[:-1])):
        path.write_text(broken)
        with pytest.raises(PrunegridError, match=rf"table\.{ending}: is not what the results give, from '.*' on"):
            trace_all(root)
    path.unlink()
    with pytest.raises(PrunegridError, match=rf"table\.{ending}: no such file; prunegrid table .* writes it again"):
        trace_all(root)


def test_an_old_table_against_another_row_is_found(root: Path) -> None:
    build(root, "full")
    path = root / "table/against-full/table.md"
    path.write_text(path.read_text().replace("random", "?", 1).replace("Random", "?", 1))
    with pytest.raises(
        PrunegridError, match=r"against-full/table\.md.*; prunegrid table .* --against full writes it again"
    ):
        trace_all(root)


def test_arithmetic_of_its_own_finds_what_making_again_cannot(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in what collects is in both the files and what is made again."""
    wrong = collect.average

    def doubled(rows: list[collect.Row]) -> collect.Row:
        row = wrong(rows)
        return row | {"score": row["score"] and 2 * row["score"]}

    monkeypatch.setattr(collect, "average", doubled)
    with pytest.raises(PrunegridError, match="items by"):
        build(root)
    monkeypatch.setattr(trace, "_as_collected", lambda directory: [])
    frame = collect.read(root / "results.parquet")
    frame.loc[3, "score"] += 0.01
    collect.write(frame, root / "results.parquet")
    with pytest.raises(PrunegridError, match=r"results\.parquet: m/s0\.125.*random\+random/seed0, A: score is"):
        trace_all(root)


def test_the_csv_shows_no_other_number(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_as_collected", lambda directory: [])
    path = root / "table/table.csv"
    whole = pd.read_csv(path, comment="#", dtype=str)
    for variant, column in (
        ("random+ppl", "m A"),
        ("q0", "m B sd"),
        ("q0", "m Avg delta"),
        ("random+random", "m A delta"),
    ):
        table = whole.copy()
        table.loc[table["variant"] == variant, column] = "99.99"
        table.to_csv(path, index=False)
        with pytest.raises(PrunegridError, match=rf"table\.csv: {re.escape(variant)}, {column} shows 99\.99"):
            trace_all(root)


def test_changed_items_are_found(root: Path) -> None:
    answer(root, Cell("m", "zero-shot"), "A", [1.0] * 40)
    with pytest.raises(PrunegridError, match=r"results\.parquet: m, zero-shot, A: score is"):
        trace_all(root)
    file = root / "evaluation/m/zero-shot/A.parquet"
    record = files.read_json(file.with_suffix(".json"))
    files.write_json(file.with_suffix(".json"), record | {"items_hash": "another"})
    with pytest.raises(PrunegridError, match=r"A\.parquet: its SHA-256 is .*not the items of that score"):
        trace_one(root, "m/zero-shot", "A")


def test_an_experiment_that_changed_since(root: Path) -> None:
    experiment = an_experiment(seeds=[0], variants=["random+random", "random+ppl"])
    put(root / "experiment.json", experiment.model_dump(mode="json"))
    with pytest.raises(PrunegridError, match=r"results\.parquet: has 27 rows where the steps' files give 12 now"):
        trace_all(root)
    with pytest.raises(
        PrunegridError, match=r"has cells that experiment\.json has not; prunegrid table .* writes it again"
    ):
        trace_one(root, PPL, "A")


@pytest.mark.parametrize(
    ("cell", "benchmark", "said"),
    [
        ("m/full/seed7", "A", "there is no cell 'm/full/seed7'; did you mean m/full/seed"),
        ("m/s0.125-t0.5/random+pl/seed1", "A", "did you mean m/s0.125-t0.5/random+ppl/seed1 or"),
        (PPL, "C", "there is no benchmark 'C'; give one such as A or B"),
        (PPL, "Avg", "Avg is the mean of the benchmarks; trace these: A, B"),
        (f"{PPL}/", "A", ""),
    ],
)
def test_what_is_not_there(root: Path, cell: str, benchmark: str, said: str) -> None:
    if not said:
        assert trace_one(root, cell, benchmark) == trace_one(root, PPL, "A")
        return
    with pytest.raises(PrunegridError, match=re.escape(said)):
        trace_one(root, cell, benchmark)


def test_what_is_not_evaluated_yet(root: Path) -> None:
    (root / "evaluation" / PPL / "A.json").unlink()
    build(root)
    assert trace_all(root).scores == 17
    with pytest.raises(PrunegridError, match=r"random\+ppl/seed1 has no score on A: the table says why"):
        trace_one(root, PPL, "A")


def test_nothing_evaluated(tmp_path: Path) -> None:
    put(tmp_path / "experiment.json", an_experiment().model_dump(mode="json"))
    build(tmp_path)
    with pytest.raises(PrunegridError, match="nothing is evaluated yet"):
        trace_all(tmp_path)


def test_tables_against_other_rows_keep_up(root: Path) -> None:
    build(root, "full")
    answer(root, Cell("m", "zero-shot"), "A", [1.0] * 40)
    build(root)
    assert trace_all(root).scores == 18
