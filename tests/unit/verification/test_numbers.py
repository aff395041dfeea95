"""From the table's numbers back to item files made by hand; a number that does not follow from them is refused."""

import random
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from prunegrid.core import files
from prunegrid.core.files import Record
from prunegrid.experiment import grid
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.statistics import deltas, primary
from prunegrid.table.build import FORMATS, build
from prunegrid.verification import numbers
from prunegrid.verification.numbers import verify_table
from prunegrid.verification.trace import trace_score
from support.errors import refused
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


def test_verify_table_counts_what_it_recomputed(root: Path) -> None:
    """1 + 3 x 2 + 2 cells; deltas of two variants x 2 seeds x 3 columns; the table: 5 rows, 4 of them with a spread
    over seeds, 2 with deltas, x 3.
    """
    build(root, "full")
    verified = verify_table(root)
    assert verified[:5] == (18, 9, 12, 15 + 12 + 6, 9 * (40 + 15))
    names = {f"table{folder}/table.{ending}" for folder in ("", "/against-full") for ending in FORMATS}
    made = {"results.parquet", "deltas.parquet", "table/against-full/deltas.parquet", *names}
    assert {str(file.relative_to(root)) for file in verified.files} == made


def add_texts(root: Path, path: str, response: str) -> None:
    """Question and gold in the item file of benchmark A, which its record then names by the new digest."""
    file = root / f"evaluation/{path}/A.parquet"
    rows = pd.read_parquet(file)
    texts = {"question": [f"Is it\n {i}?" for i in rows["doc_id"]], "gold": "yes", "response": response}
    files.write_parquet(file, pa.Table.from_pandas(rows.assign(**texts)))
    put(file.with_suffix(".json"), files.read_json(file.with_suffix(".json")) | {"items_hash": files.sha256(file)})


def test_trace_score_shows_the_first_differing_items(root: Path) -> None:
    add_texts(root, PPL, "y" * 70)
    assert "gold:" not in "".join(trace_score(root, PPL, "A")), "the baseline's file has no texts"
    add_texts(root, PPL.replace("ppl", "random"), "no")
    lines = trace_score(root, PPL, "A")
    place = next(i for i, line in enumerate(lines) if line.startswith("  worse on"))
    first = re.findall(r"\d+", lines[place])[1:4]
    answers = f"gold: yes | answer: {'y' * 60}... | baseline's: no"
    assert lines[place + 1 : place + 4] == [f"    {i}: Is it {i}? | {answers}" for i in first]
    assert sum("gold:" in line for line in lines) == 6


def test_trace_score_names_the_keys_of_a_row_with_a_reading(tmp_path: Path) -> None:
    """A static one's selection is beside its scores, a dynamic one's beside its training."""
    own = {"reading": "authors-2025-09", "method": "random+random", "training": {"learning_rate": 0.5}}
    variants = ["random+random", {"copy": own}, {"dynamic": own | {"mode": "dynamic", "method": "qtuning"}}]
    experiment = an_experiment(variants=variants)
    put(tmp_path / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(tmp_path, experiment)
    for cell in grid.cells(experiment):
        finish(tmp_path, cell, 1, 1, experiment=experiment)
        answer(tmp_path, cell, "A", [1, 0])
        answer(tmp_path, cell, "B", [1, 0])
    build(tmp_path)
    for variant, folder in (("copy", "pruned"), ("dynamic", "trained")):
        lines = trace_score(tmp_path, f"m/s0.125-t0.5/{variant}/seed1", "A")
        place = f"m/s0.125-t0.5/{variant}/seed1"
        assert f"  trained: {tmp_path}/trained/{place}/training.json, model/, with learning_rate: 0.5" in lines
        assert f"  selected: {tmp_path}/{folder}/{place}/selection.json, with reading: authors-2025-09" in lines
    assert not any(", with" in line for line in trace_score(tmp_path, "m/full/seed1", "A"))


def test_trace_score_leads_back_to_the_items(root: Path) -> None:
    lines = "\n".join(trace_score(root, PPL, "A"))
    values, base = (
        pd.read_parquet(root / "evaluation/m/s0.125-t0.5" / variant / "seed1/A.parquet")["value"]
        for variant in ("random+ppl", "random+random")
    )
    assert f"= 100 x {values.sum():g} / 40 items in {root}/evaluation/{PPL}/A.parquet" in lines
    assert f"delta {100 * (values - base).mean():+.2f} points over 40 items" in lines
    better = (values > base).to_numpy().nonzero()[0]
    assert f"better on {len(better)}: doc_id {', '.join(map(str, better[:20]))}" in lines
    assert "weights s0.125-t0.5/" in lines


@pytest.mark.parametrize("column", ["score", "delta", "trained_tokens", "realised_token_ratio", "train_seconds"])
def test_verify_table_refuses_a_changed_result(root: Path, column: str) -> None:
    frame = collect.read(root / "results.parquet")
    frame.loc[frame["delta"].notna(), column] += 1
    collect.write(frame, root / "results.parquet")
    with refused(f"{root}/results.parquet: m, random+ppl/seed0, A", f"{column} is ", fix=f"prunegrid table {root}"):
        verify_table(root)


@pytest.mark.parametrize("column", ["delta", "item_se", "low", "n_seeds"])
def test_verify_table_refuses_a_changed_interval(root: Path, column: str) -> None:
    frame = deltas.read(root / "deltas.parquet")
    frame[column] += 1
    deltas.write(frame, root / "deltas.parquet")
    with refused(f"{root}/deltas.parquet: m, random+ppl, A", f"{column} is "):
        verify_table(root)


def test_verify_table_refuses_another_answer_to_a_stated_question(root: Path) -> None:
    stated = {"helps": {"variants": ["random+ppl"], "against": "random+random"}}
    put(root / "experiment.json", an_experiment(contrasts=stated).model_dump(mode="json"))
    build(root)
    path = root / "contrasts.parquet"
    assert path in verify_table(root).files
    frame = primary.read(path)
    frame["delta"] += 1
    primary.write(frame, path)
    with refused(f"{path}: helps", "delta is ", fix=f"prunegrid table {root}"):
        verify_table(root)


@pytest.mark.parametrize("ending", FORMATS)
def test_verify_table_refuses_a_changed_table(root: Path, ending: str) -> None:
    """One digit; a line less; no file. The line about the code may differ."""
    path = root / f"table/table.{ending}"
    text = path.read_text()
    path.write_text(text.replace("table by prunegrid 0", "table by prunegrid 9"))
    assert verify_table(root)
    score = f"{collect.read(root / 'results.parquet')['score'].iloc[0]:.2f}"
    assert score in text
    for broken, line in ((text.replace(score, "99.99", 1), "99.99"), ("\n".join(text.splitlines()[:-1]), "")):
        path.write_text(broken)
        with refused(path, "differs from what the results give", line):
            verify_table(root)
    path.unlink()
    with refused(path, "no such file", fix=f"prunegrid table {root}`"):
        verify_table(root)


def test_verify_table_refuses_an_old_comparison(root: Path) -> None:
    build(root, "full")
    path = root / "table/against-full/table.md"
    path.write_text(path.read_text().replace("random", "?", 1).replace("Random", "?", 1))
    with refused(path, fix=f"prunegrid table {root} --against full`"):
        verify_table(root)


def test_verify_table_recomputes_by_its_own_arithmetic(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in what collects is in the files and in what is regenerated alike."""
    average = collect.average

    def doubled(rows: list[Record]) -> Record:
        row = average(rows)
        return row | {"score": row["score"] and 2 * row["score"]}

    monkeypatch.setattr(collect, "average", doubled)
    with refused("m/s0.125-t0.5/random+ppl/seed0 against s0.125-t0.5/random+random/seed0, Avg", "18.98", "9.49"):
        build(root)
    monkeypatch.setattr(numbers, "_verify_files", lambda directory: [])
    frame = collect.read(root / "results.parquet")
    frame.loc[3, "score"] += 0.01
    collect.write(frame, root / "results.parquet")
    with refused(f"{root}/results.parquet: m/s0.125-t0.5/random+random/seed0, A", "score is"):
        verify_table(root)


def test_verify_table_refuses_another_number_in_the_csv(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_verify_files", lambda directory: [])
    path = root / "table/table.csv"
    whole = pd.read_csv(path, dtype=str)
    for variant, column in (
        ("random+ppl", "m A"),
        ("q0", "m B sd"),
        ("q0", "m Avg delta"),
        ("random+random", "m A delta"),
    ):
        table = whole.copy()
        table.loc[table["variant"] == variant, column] = "99.99"
        table.to_csv(path, index=False)
        with refused(f"{path}: {variant}, {column}", "shows 99.99"):
            verify_table(root)


def test_verify_table_refuses_changed_items(root: Path) -> None:
    answer(root, Cell("m", "zero-shot"), "A", [1.0] * 40)
    with refused(f"{root}/results.parquet: m, zero-shot, A", "score is"):
        verify_table(root)
    file = root / "evaluation/m/zero-shot/A.parquet"
    record = files.read_json(file.with_suffix(".json"))
    files.write_json(file.with_suffix(".json"), record | {"items_hash": "another"})
    with refused(file, "SHA-256", fix=f"rm {file.with_suffix('.json')}"):
        trace_score(root, "m/zero-shot", "A")


def test_an_experiment_that_changed_since_is_refused(root: Path) -> None:
    experiment = an_experiment(seeds=[0], variants=["random+random", "random+ppl"])
    put(root / "experiment.json", experiment.model_dump(mode="json"))
    with refused(root / "results.parquet", "has 27 rows", 12):
        verify_table(root)
    with refused(root / "results.parquet", "cells that are not in experiment.json", fix="prunegrid table"):
        trace_score(root, PPL, "A")


@pytest.mark.parametrize(
    ("cell", "benchmark", "message", "fix"),
    [
        ("m/full/seed7", "A", "no cell 'm/full/seed7'", "did you mean m/full/seed"),
        ("m/s0.125-t0.5/random+pl/seed1", "A", "no cell", "did you mean m/s0.125-t0.5/random+ppl/seed1 or"),
        (PPL, "C", "no benchmark 'C'", "A, B"),
        (PPL, "Avg", "Avg is the mean of the benchmarks", "trace these: A, B"),
    ],
)
def test_trace_score_suggests_known_names(root: Path, cell: str, benchmark: str, message: str, fix: str) -> None:
    with refused(root, message, fix=fix):
        trace_score(root, cell, benchmark)


def test_trace_score_takes_a_trailing_slash(root: Path) -> None:
    assert trace_score(root, f"{PPL}/", "A") == trace_score(root, PPL, "A")


def test_trace_score_refuses_a_score_that_is_missing(root: Path) -> None:
    (root / "evaluation" / PPL / "A.json").unlink()
    build(root)
    assert verify_table(root).scores == 17
    with refused(root, f"{PPL} has no score on A", fix="run the workflow"):
        trace_score(root, PPL, "A")


def test_verify_table_needs_an_evaluation(tmp_path: Path) -> None:
    put(tmp_path / "experiment.json", an_experiment().model_dump(mode="json"))
    build(tmp_path)
    with refused(tmp_path, "no finished evaluation", fix="run the workflow"):
        verify_table(tmp_path)


def test_tables_with_other_baselines_are_updated_too(root: Path) -> None:
    build(root, "full")
    answer(root, Cell("m", "zero-shot"), "A", [1.0] * 40)
    build(root)
    assert verify_table(root).scores == 18
