"""The training set is written as it is read: the same table whatever the sizes of its pieces; nothing stays behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid.data import sample_table
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from support.errors import refused

Rows = list[dict[str, Any]]


def convert(folder: Path, rows: Any, **settings: Any) -> tuple[Rows, dict[str, Any]]:
    write_dataset(Dataset(name="d", path="rows", **settings), rows, folder / "out.parquet", folder / "out.json")
    assert sorted(path.name for path in folder.iterdir()) == ["out.json", "out.parquet"]
    return pq.read_table(folder / "out.parquet").to_pylist(), json.loads((folder / "out.json").read_text())


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_table, "BATCH", 3)
    monkeypatch.setattr(sample_table, "GROUP_ROWS", 7)


def rows_of(number: int, **columns: list[Any]) -> Rows:
    rows = [{"prompt": f"q{i % 11}", "response": "a"} for i in range(number)]
    return [row | {name: values[i] for name, values in columns.items()} for i, row in enumerate(rows)]


@pytest.mark.parametrize("settings", [{}, {"drop_duplicates": True}, {"drop_duplicates": "near"}, {"max_samples": 4}])
def test_pieces_do_not_change_what_is_written(tmp_path: Path, request: Any, settings: dict[str, Any]) -> None:
    for name in ("whole", "pieces"):
        (tmp_path / name).mkdir()
    rows = rows_of(25)
    whole = convert(tmp_path / "whole", rows, **settings)
    request.getfixturevalue("small_pieces")
    pieces = convert(tmp_path / "pieces", iter(rows), **settings)
    assert pieces[0] == whole[0]
    assert pieces[1] | {"digest": ""} == whole[1] | {"digest": ""}
    assert pieces[1]["duplicates"] == 14
    sizes = pq.ParquetFile(tmp_path / "pieces/out.parquet").metadata
    assert all(sizes.row_group(i).num_rows <= 7 for i in range(sizes.num_row_groups))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, 4, 0.5, 6, 7],
        [None, None, None, "x", None, "y", "z"],
        [[], [], [], ["x"], [], [], ["y"]],
        [{"a": 1}, {"a": 2}, {"a": 3}, {"b": "x"}, {}, {"a": 4}, {"a": 0.5}],
    ],
)
def test_a_carried_column_gets_the_type_of_all_its_values(tmp_path: Path, values: list[Any]) -> None:
    table, _ = convert(tmp_path, rows_of(7, kind=values), carry=["kind"])
    names = {name for value in values if isinstance(value, dict) for name in value}
    expected = [dict.fromkeys(names) | value if isinstance(value, dict) else value for value in values]
    assert [row["kind"] for row in table] == expected
    assert [row["sample_id"] for row in table] == list(range(7))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("value", "problem"), [("x", "tried to convert to int64"), (2**70, "too large"), ([1], "cannot mix list")]
)
def test_a_carried_value_of_another_type_is_refused_at_its_row(tmp_path: Path, value: Any, problem: str) -> None:
    with refused("rows[4]", "carried columns", problem, fix="one type"):
        convert(tmp_path, rows_of(7, kind=[1, 2, 3, 4, value, 5, 6]), carry=["kind"])
    assert not list(tmp_path.iterdir())


def test_integers_that_a_fraction_would_round_are_refused(tmp_path: Path) -> None:
    with refused("rows", "carried columns", "one type each"):
        convert(tmp_path, rows_of(2000, kind=[2**60 + 1] * 1000 + [0.5] * 1000), carry=["kind"])
    rows = rows_of(2000, kind=[2**60 + 1] * 1500 + [0.5] * 500)
    with refused("rows[1500]", "carried columns", "range"):
        convert(tmp_path, rows, carry=["kind"])


def test_a_text_that_is_no_unicode_is_refused_at_its_row(tmp_path: Path) -> None:
    with refused("rows[1]", r"half a character ('\ud800')"):
        convert(tmp_path, [{"prompt": "q", "response": "a"}, {"prompt": "\ud800", "response": "a"}])


def test_duplicates_are_found_among_all_samples(tmp_path: Path) -> None:
    """In any of the parts that are sorted one after another, at any distance."""
    with sample_table.SampleTable(tmp_path / "out.0.tmp", "rows", []) as table:
        for i in [*range(300), *range(0, 600, 3)]:
            messages = [{"role": "assistant", "content": str(i)}]
            table.add({"sample_id": i, "row": i, "turn": 0, "messages": messages, "tools": None}, "")
        assert np.flatnonzero(table.duplicates()).tolist() == list(range(300, 400))


def test_a_source_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> Any:
        yield from rows_of(2500)
        raise RuntimeError("the source fails")

    with pytest.raises(RuntimeError, match="the source fails"):
        convert(tmp_path, rows())
    assert not list(tmp_path.iterdir())


def test_texts_of_numpy_are_duplicates_of_others(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": "a"}, {"prompt": np.str_("q"), "response": np.str_("a")}]
    assert convert(tmp_path, rows)[1]["duplicates"] == 1


def test_long_texts_make_small_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_table, "GROUP_BYTES", 100_000)
    convert(tmp_path, ({"prompt": f"q{i}", "response": "a" * 50} for i in range(5000)))
    file = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert file.num_rows == 5000
    assert [file.row_group(i).num_rows for i in range(file.num_row_groups)] == [1000] * 5
