"""Python objects as sources: all kinds give the same rows; what has no rows of dicts is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from prunegrid.data.rows import stream_rows
from prunegrid.experiment.dataset import DataRef, Dataset
from support.errors import refused
from support.source_files import write_source

ROWS = [
    {"prompt": "q", "response": "a", "turns": [{"role": "user", "content": "é"}]},
    {"prompt": "r", "response": None, "turns": []},
]
REF = Dataset(name="d", path="rows")
KINDS: dict[str, Callable[[], Any]] = {
    "list": lambda: ROWS,
    "generator": lambda: iter(ROWS),
    "table": lambda: pa.Table.from_pylist(ROWS),
    "frame": lambda: pd.DataFrame(ROWS, index=["x", "y"]),
    "frame_of_arrays": lambda: pa.Table.from_pylist(ROWS).to_pandas(),
    "dataset": lambda: datasets.Dataset.from_list(ROWS),
    "chosen": lambda: datasets.Dataset.from_list([{**ROWS[0], "prompt": "no"}, *ROWS]).select([1, 2]),
    "iterable": lambda: datasets.Dataset.from_list(ROWS).to_iterable_dataset(),
    "streamed": lambda: datasets.IterableDataset.from_generator(lambda: iter(ROWS)),
    "splits": lambda: datasets.DatasetDict(test=datasets.Dataset.from_list([]), train=datasets.Dataset.from_list(ROWS)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_stream_rows_of_any_object_gives_the_same_rows(kind: str) -> None:
    rows = list(stream_rows(REF, KINDS[kind]()))
    assert [row.values for row in rows] == ROWS
    assert [(row.index, row.place) for row in rows] == [(0, "rows[0]"), (1, "rows[1]")]


@pytest.mark.parametrize(
    ("source", "where", "values"),
    [
        ([ROWS[0], "text"], "rows[1]", ["a str"]),
        ({"prompt": ["q"], "response": ["a"]}, "rows", ["one dict (prompt, response)"]),
        (5, "rows", ["of type int"]),
        (datasets.DatasetDict(test=datasets.Dataset.from_list(ROWS)), "rows", ["split train", "test"]),
        (pd.DataFrame({"prompt": ["q", 1]}), "rows", ["cannot be read as a table"]),
    ],
)
def test_stream_rows_of_an_object_without_rows_is_refused(source: Any, where: str, values: list[str]) -> None:
    with refused(where, *values):
        list(stream_rows(REF, source))


def test_stream_rows_gives_a_skipped_row_with_its_error() -> None:
    rows = list(stream_rows(REF.model_copy(update={"on_bad_row": "skip"}), [ROWS[0], 3, ROWS[1]]))
    assert [row.index for row in rows] == [0, 1, 2]
    assert [row.error and row.error.where for row in rows] == [None, "rows[1]", None]


def test_a_data_set_of_the_hub_is_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where `datasets` finds a folder of the id's name, it reads that
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_source(tmp_path / "org/set/train.jsonl", ROWS)
    rows = list(stream_rows(DataRef(hub="org/set"), None))
    assert [row.values for row in rows] == ROWS
    assert [row.place for row in rows] == ["org/set: row 1", "org/set: row 2"]
    with refused("org/set", "dev", fix="split"):
        list(stream_rows(DataRef(hub="org/set", split="dev"), None))


def test_a_data_set_that_the_hub_does_not_give_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with refused("org/none", "hub", fix="local copy"):
        list(stream_rows(DataRef(hub="org/none"), None))


def test_rows_of_numpy_and_pandas_values_are_as_those_of_a_file() -> None:
    messages = np.array([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])
    rows = [{"messages": messages, "prompt": float("nan"), "score": np.float32(0.5)}]
    (row,) = stream_rows(REF, rows)
    assert row.values == {"messages": [*messages], "prompt": None, "score": 0.5}
