"""From the table's numbers back to item files made by hand; a number that its items do not give is found."""

import random
from pathlib import Path

import pandas as pd
import pytest

from prunegrid import grid, io, results
from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell
from prunegrid.table.build import build
from prunegrid.table.trace import trace_all, trace_one
from results_folder import an_experiment, answer, finish, put, shared_files

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
    """1 + 3 x 2 + 2 cells; deltas of two variants x 2 seeds x 3 columns; the table: 5 rows and 2 rows of deltas x 3."""
    traced = trace_all(root)
    assert traced == (18, 9, 12, 15 + 6, 9 * (40 + 15))


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


def test_a_changed_score_is_found(root: Path) -> None:
    frame = results.read(root / "results.parquet")
    frame.loc[3, "score"] += 0.01
    results.write(frame, root / "results.parquet")
    with pytest.raises(PrunegridError, match=r"results\.parquet: m/s0\.125.*random\+random/seed0, A: score is"):
        trace_all(root)


def test_a_changed_delta_is_found(root: Path) -> None:
    frame = results.read(root / "results.parquet")
    frame.loc[frame["delta"].notna(), "delta"] *= -1
    results.write(frame, root / "results.parquet")
    with pytest.raises(PrunegridError, match=r"random\+ppl/seed0, A: delta is"):
        trace_all(root)


def test_a_changed_table_is_found(root: Path) -> None:
    path = root / "table/table.csv"
    table = pd.read_csv(path, comment="#", dtype=str)
    table.loc[table["variant"] == "random+ppl", "m A"] = "99.99"
    table.to_csv(path, index=False)
    with pytest.raises(PrunegridError, match=r"table\.csv: random\+ppl, m A shows 99\.99"):
        trace_all(root)


def test_changed_items_are_found(root: Path) -> None:
    answer(root, Cell("m", "zero-shot"), "A", [1.0] * 40)
    with pytest.raises(PrunegridError, match=r"m/zero-shot, A: score is .*, its items give 100"):
        trace_all(root)
    file = root / "evaluation/m/zero-shot/A.parquet"
    record = io.read_json(file.with_suffix(".json"))
    io.write_json(file.with_suffix(".json"), record | {"items_hash": "another"})
    with pytest.raises(PrunegridError, match=r"A\.parquet: is not the file that A\.json beside it was written with"):
        trace_all(root)


@pytest.mark.parametrize(("cell", "benchmark"), [("m/full/seed7", "A"), (PPL, "C"), (PPL, "Avg")])
def test_what_is_not_there(root: Path, cell: str, benchmark: str) -> None:
    with pytest.raises(PrunegridError, match=r"no score of .*benchmarks: A, B; cells: m/full/seed0"):
        trace_one(root, cell, benchmark)
