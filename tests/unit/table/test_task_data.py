"""The note below the table that rows were chosen by a query set, and so with task data."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import files
from prunegrid.experiment import grid, layout
from prunegrid.table.build import build
from support.results_folder import an_experiment, finish, put, shared_files

QUERY = {"name": "q", "hub": "openai/gsm8k", "config": "main", "split": "train"}
NEAR = [{"near": {"method": "rds+random"}}, {"spread": {"method": "diverse+ppl", "score": "rds"}}]
NOTE = "Chosen by a query set (openai/gsm8k, split train), so with task data: near, spread."


def table(root: Path, **changes: Any) -> str:
    experiment = an_experiment(query=QUERY, **changes)
    put(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
    shared_files(root, experiment)
    for cell in grid.cells(experiment):
        finish(root, cell, 30, 40, experiment=experiment)
    build(root)
    return " ".join((root / layout.table("md")).read_text().split())


def test_note_names_the_rows_that_a_query_set_chose_and_the_set(tmp_path: Path) -> None:
    text = table(tmp_path, variants=["random+random", *NEAR])
    assert NOTE in text
    record = files.read_json(tmp_path / layout.EXPERIMENT)
    put(tmp_path / layout.EXPERIMENT, record | {"query": {"name": "q", "path": "dev.jsonl"}})
    build(tmp_path)
    assert "(dev.jsonl, split train)" in (tmp_path / layout.table("md")).read_text()


@pytest.mark.parametrize("file", ["html", "tex"])
def test_note_is_in_every_form_of_the_table(file: str, tmp_path: Path) -> None:
    table(tmp_path, variants=["random+random", *NEAR])
    assert "so with task data: near, spread." in " ".join((tmp_path / layout.table(file)).read_text().split())


def test_no_note_where_no_row_reads_the_query_set(tmp_path: Path) -> None:
    assert "task data" not in table(tmp_path, variants=["random+random", "random+ppl"])
