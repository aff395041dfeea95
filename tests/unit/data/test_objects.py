"""Python objects as sources: all kinds give the same rows; what has no rows of dicts is named."""

from collections.abc import Callable
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pytest

from prunegrid.data.rows import stream_rows
from prunegrid.experiment.sections import Dataset
from support.errors import refused

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
        (5, "rows", ["a int"]),
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
