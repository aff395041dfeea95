"""A folder or glob as the training set: the rule's inputs are its files, and a file that is added makes it stale."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support.snakemake_runs import DEFAULT, planned, snakemake
from support.source_files import write_source

TARGET = "results/sandbox/data/mine.parquet"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["rows", "rows/*"])
def test_the_files_of_a_folder_are_the_inputs_of_the_training_set(tmp_path: Path, path: str) -> None:
    config = {**DEFAULT, "dataset": {"name": "mine", "path": path}}
    for name, form in (("b.jsonl", "lines"), ("a.parquet", "parquet"), ("README.md", "lines")):
        write_source(tmp_path / "rows" / name, [{"prompt": f"q of {name}", "response": "a"}], form)
    done = snakemake(tmp_path, TARGET, "--cores", "1", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    prompts = [messages[0]["content"] for messages in pq.read_table(tmp_path / TARGET)["messages"].to_pylist()]
    assert prompts == ["q of a.parquet", "q of b.jsonl"]
    assert planned(tmp_path, TARGET) == {}
    write_source(tmp_path / "rows/c.jsonl", [{"prompt": "q", "response": "a"}])
    assert planned(tmp_path, TARGET) == {"dataset": 1}


@pytest.mark.slow
def test_a_folder_without_the_split_is_named_in_one_line(tmp_path: Path) -> None:
    write_source(tmp_path / "rows/test.jsonl", [{"prompt": "q", "response": "a"}])
    done = snakemake(tmp_path, TARGET, "--cores", "1", config={**DEFAULT, "dataset": {"name": "mine", "path": "rows"}})
    assert done.returncode != 0
    assert "rows: has no files of the split train; its splits are test" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
