"""Files are written whole or not at all; a damaged one is an error that names its repair."""

from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.core.files import read_json, read_parquet, repair, replacing, stream_parquet, write_json, write_parquet
from support.errors import refused


def test_replacing_a_file_in_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), replacing(tmp_path / "new/file") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_replacing_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    (tmp_path / ".file.999999999.tmp").write_text("half")
    write_json(tmp_path / "file", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("group", [1, 7, 5000])
@pytest.mark.parametrize("sizes", [[], [3, 0, 4], [2000, 1500], [5000], [6000]])
def test_stream_parquet_yields_pieces_of_any_size(tmp_path: Path, sizes: list[int], group: int) -> None:
    table = pa.table({"a": range(5000), "b": range(5000)})
    write_parquet(tmp_path / "t.parquet", table, row_group_size=group)
    pieces = list(stream_parquet(tmp_path / "t.parquet", ["a"], sizes))
    expected = [min(size, 5000) for size in sizes]
    rest = 5000 - sum(expected)
    assert [len(piece) for piece in pieces] == [*expected, *([rest] if rest else [])]
    assert pa.concat_tables(pieces).equals(table.select(["a"]))


def test_read_json_of_a_truncated_file_names_the_repair(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": ')
    with refused(tmp_path / "config.json", "not complete JSON", fix=f"rm {tmp_path / 'config.json'}"):
        read_json(tmp_path / "config.json")
    with refused(tmp_path / "config.json", "not complete JSON", fix=f"rm -r {tmp_path}"):
        read_json(tmp_path / "config.json", repair(tmp_path))
    with refused(tmp_path / "none.json", "no such file"):
        read_json(tmp_path / "none.json")


def test_read_parquet_without_a_column_names_those_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    with refused(tmp_path / "t.parquet", "no column b", "a", fix="regenerate"):
        read_parquet(tmp_path / "t.parquet", ["a", "b"])
