"""Answers of items that are asked again, compared with the item file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from prunegrid.core import files
from prunegrid.evaluation.records import ITEM_COLUMNS
from prunegrid.experiment import grid, layout
from prunegrid.verification.recheck import compare_items, recheck_items
from support.results_folder import an_experiment, finish

QUIZ = """
task: quiz
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {do_sample: true, temperature: 0.7}
"""


def item(doc_id: int, **changes: Any) -> dict[str, Any]:
    hashes = {name: f"{name} {doc_id}" for name in ("doc_hash", "prompt_hash", "target_hash", "cluster")}
    return {"doc_id": doc_id, **hashes, "filter": "none", "response": "[-1.5, -20.0]", "value": 1.0} | changes


def table(*rows: dict[str, Any]) -> pa.Table:
    columns = [name for name in ITEM_COLUMNS.names if name in rows[0]]
    return pa.Table.from_pylist(rows, schema=pa.schema([ITEM_COLUMNS.field(name) for name in columns]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    files.write_parquet(tmp_path / "A.parquet", table(item(0), item(7), item(7, filter="strict", response="42")))
    return tmp_path / "A.parquet"


@pytest.mark.parametrize(
    ("changes", "dtype", "what"),
    [
        ({}, "float32", None),
        ({"response": "[-1.5001, -20.001]"}, "float32", None),
        (
            {"response": "[-1.52, -20.0]"},
            "float32",
            "response is '[-1.5, -20.0]'; re-evaluation gives '[-1.52,",
        ),
        ({"response": "[-1.52, -20.0]"}, "bfloat16", None),
        ({"response": "[-1.5]"}, "float32", "response is"),
        ({"response": "milk"}, "float32", "response is"),
        ({"value": 0.0}, "float32", "value is 1; re-evaluation gives 0"),
        ({"prompt_hash": "other"}, "float32", "prompt_hash differs from the current item"),
        ({"filter": "new"}, "float32", "is missing"),
    ],
)
def test_answers_are_compared(file: Path, changes: dict[str, Any], dtype: str, what: str | None) -> None:
    """Item 7 is the first that was asked: its number is 0 there."""
    answer = item(7) | {"doc_id": 0} | changes
    problems = list(compare_items(file, [7], table(answer), dtype))
    assert [problem.what[: len(what or "")] for problem in problems] == ([what] if what else [])
    if problems:
        assert problems[0].where == f"{file}: doc_id 7, filter {answer['filter']}"
        assert f"rm {file.with_suffix('.json')}" in problems[0].fix


def test_texts_are_compared_as_they_are(file: Path) -> None:
    answer = item(7, filter="strict", response="42.0") | {"doc_id": 0}
    (problem,) = compare_items(file, [7], table(answer), "float32")
    assert "response is '42'; re-evaluation gives '42.0'" in problem.what


def test_a_file_without_answers_is_compared_by_its_values(file: Path) -> None:
    """`evaluation.items: scores`: every response is empty."""
    rows = files.read_parquet(file).to_pylist()
    files.write_parquet(file, table(*(row | {"response": ""} for row in rows)))
    answer = item(7) | {"doc_id": 0}
    assert list(compare_items(file, [7], table(answer), "float32")) == []
    (problem,) = compare_items(file, [7], table(answer | {"value": 0.0}), "float32")
    assert problem.what.startswith("value is 1")


def test_what_cannot_be_asked_is_counted(tmp_path: Path) -> None:
    """Deleted weights (2 cells x 250 items), sampled answers of B (2 x 50): by its settings, and by its task's file."""
    benchmarks = an_experiment().evaluation.model_dump(mode="json")["benchmarks"]
    sampled = benchmarks["B"] | {"task": "gsm8k", "gen_kwargs": {"temperature": 0.7}, "repeats": 2}
    ours = an_experiment(evaluation={"benchmarks": {"B": sampled}})
    cells = [cell for cell in grid.cells(ours) if cell.variant == "full"]
    for cell in cells:
        finish(tmp_path, cell, 50, 50)
    recheck = recheck_items(tmp_path, ours, [(cell, "B") for cell in cells], 5, 0)
    assert recheck.left_out == {"their answers were sampled": 100}
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/quiz.yaml").write_text(QUIZ)
    asked = {"tasks": [str(tmp_path / "lab")], "benchmarks": {"B": benchmarks["B"] | {"task": "quiz"}}}
    recheck = recheck_items(tmp_path, an_experiment(evaluation=asked), [(cell, "B") for cell in cells], 5, 0)
    assert recheck.left_out == {"their answers were sampled": 100}
    for cell in cells:
        (tmp_path / layout.weights(cell.name)).rmdir()
    recheck = recheck_items(tmp_path, an_experiment(), [(cell, name) for cell in cells for name in ("A", "B")], 5, 0)
    assert (recheck.items, recheck.left_out) == (0, {"their weights were deleted": 500})
