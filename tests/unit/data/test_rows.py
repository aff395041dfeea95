"""Files as sources: every format and compression gives the same rows, and whatever is wrong has its place."""

import json
import random
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core.errors import PrunegridError
from prunegrid.data.json_text import CHUNK
from prunegrid.data.rows import Row, stream_rows
from prunegrid.experiment.dataset import DataRef, Dataset
from support.errors import refused
from support.source_files import COMPRESSIONS, FORMATS, json_lines, parquet, write_source

ROWS = [
    {"prompt": "What is é?", "response": 'A letter, "e acute";\n\tsee 1\u2028above.', "id": "1"},
    {"prompt": "", "response": "{[x]}", "id": "2"},
    {"prompt": "q", "response": "𝄞", "id": "3"},
]


def read(source: Path | str, **settings: Any) -> list[Row]:
    return list(stream_rows(Dataset(name="d", path=str(source), **settings), str(source)))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["rows.dat", "rows.jsonl"])
def test_stream_rows_of_any_format_gives_the_same_rows(tmp_path: Path, form: str, compression: str, name: str) -> None:
    rows = read(write_source(tmp_path / name, ROWS, form, compression))
    assert [row.values for row in rows] == ROWS
    assert [row.index for row in rows] == [0, 1, 2]


def test_stream_rows_keeps_types_of_json_and_parquet(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": None}], "n": 1, "x": 0.5, "b": True}] * 2
    for form in ("lines", "array", "data_indented", "parquet", "arrow"):
        assert [row.values for row in read(write_source(tmp_path / form, rows, form))] == rows


@pytest.mark.parametrize(
    ("form", "places"),
    [
        ("lines", [":1", ":2", ":3"]),
        ("lines_blank", [":2", ":4", ":6"]),
        ("objects_indented", [":1", ":6", ":11"]),
        *((form, [": row 1", ": row 2", ": row 3"]) for form in ("array", "csv", "parquet", "arrow", "data")),
    ],
)
def test_place_is_the_line_of_json_lines_else_the_row(tmp_path: Path, form: str, places: list[str]) -> None:
    path = write_source(tmp_path / "rows", ROWS, form)
    assert [row.place.removeprefix(str(path)) for row in read(path)] == places


@pytest.mark.parametrize("form", ["array", "data", "data_indented"])
def test_values_longer_than_a_chunk_are_read_whole(tmp_path: Path, form: str) -> None:
    rows = [{"n": 12345, "text": "é" * n} for n in (CHUNK // 2 - 40, 3 * CHUNK, 1, CHUNK // 2, CHUNK)]
    assert [row.values for row in read(write_source(tmp_path / "rows", rows, form))] == rows


def test_a_conversation_alone_in_its_file_is_a_row(tmp_path: Path) -> None:
    conversation = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    for text in (json.dumps(conversation), json.dumps(conversation, indent=1), json.dumps([conversation])):
        (tmp_path / "x").write_text(text)
        assert [row.values for row in read(tmp_path / "x")] == [conversation]


UNUSABLE: list[tuple[bytes, str, list[str], str]] = [
    (b"", "", ["no rows"], ""),
    (b"[]", "", ["no rows"], ""),
    (b"prompt,response\n", "", ["no rows"], ""),
    (b'{"a": 1}\n{"a": 1', ":2", ["not JSON"], "on_bad_row"),
    (b'{"a": 1}\nhello\n', ":2", ["not JSON"], "on_bad_row"),
    (b'{"a": "x\n{"a": 1}\n', ":1", ["not JSON"], "on_bad_row"),
    (b'\n{"a": 1},\n{"a": 1},\n', ":2", ["not JSON", "Extra data"], "one JSON object a line"),
    (b'{"a": 1}\n\n[1]\n', ":3", ["a list"], "on_bad_row"),
    (b'{"a": 1}\n{"a": "\xe9"}\n', ":2", ["not UTF-8"], "UTF-8"),
    (b"[" * 100_000, ":1", ["not JSON", "nested"], "correct"),
    (b'{"a":' * 100_000 + b'\n{"a": 1}\n', ":1", ["not JSON", "recursion"], "on_bad_row"),
    (b'[{"a": 1},\n{"a": 1}\n{"a": 1}]', ":3", ["not JSON", "expecting ,"], "jq"),
    (b'[{"a": 1},\n{"a": }]', ":2", ["not JSON", "Expecting value"], "jq"),
    (b'[{"a": 1},\n', ":2", ["not JSON", "ends"], "jq"),
    (b'[{"a": 1}]\n[{"a": 1}]', ":2", ["follows the array"], "jq"),
    (b'[{"a": 1}, 7]', ": row 2", ["a int"], "on_bad_row"),
    (b'[{"a": "\xe9"}]', "", ["not UTF-8"], "UTF-8"),
    (b'{"data": [{"a": 1}], "more": [{"a": 2}]}', "", ["several lists", "data, more"], "jq -c '.data[]'"),
    (b'{"x": [{"a": 1}], "y": [{"a": 2}]}', "", ["several lists", "x, y"], "jq -c '.x[]'"),
    (b'{"prompt": ["q", "r"], "response": ["a", "b"]}', "", ["columns (prompt, response)"], "lines=True"),
    (b'{"prompt": {"0": "q"}, "response": {"0": "a"}}', "", ["columns (prompt, response)"], "lines=True"),
    (b"a,b\n1,2\n1,2,3\n", ": row 2", ["3 fields", "2 (a, b)"], "on_bad_row"),
    (b'a,b\n1,2\n"1"2,3\n', ": row 2", ["not CSV"], "on_bad_row"),
    (b'a,b\n1,2\n"1,3\n', ": row 2", ["not CSV"], "on_bad_row"),
    (b"a,a\n1,2\n", "", ["a more than once"], "rename"),
    (b"a,b\n1,\xe9\n", "", ["not UTF-8"], "UTF-8"),
    ("a,b\n1,2\n".encode("utf-16"), "", ["UTF-16"], "iconv"),
    ('{"a": 1}\n'.encode("utf-16-be"), "", ["UTF-16"], "iconv"),
    (b"Once upon a time\n", "", ["Once upon"], "Parquet"),
    (b'{"a": "\x00\x00\x00\x00"}', "", ["zero bytes"], "Parquet"),
    (b"PK\x03\x04....", "", ["zip"], "unpack"),
    (b"version https://git-lfs.github.com/spec/v1\n", "", ["Git LFS"], "git lfs pull"),
    (b"PAR1 and no more", "", ["damaged", "Parquet"], "fetch"),
    (parquet(ROWS)[:-20], "", ["damaged", "Parquet"], "fetch"),
    (b"ARROW1\x00\x00....", "", ["damaged", "Arrow file"], "fetch"),
    (FORMATS["arrow_stream"](ROWS)[:200], "", ["damaged", "Arrow stream"], "fetch"),
    *((COMPRESSIONS[kind](json_lines(ROWS))[:-9], "", ["damaged", kind], "fetch") for kind in ("gzip", "bz2", "xz")),
    *((COMPRESSIONS[kind](json_lines(ROWS))[:-9], "", ["damaged", kind], "fetch") for kind in ("zstd", "lz4")),
]


@pytest.mark.parametrize(("content", "place", "values", "fix"), UNUSABLE)
def test_an_unusable_file_is_refused_at_its_place(
    tmp_path: Path, content: bytes, place: str, values: list[str], fix: str
) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(content)
    with refused(f"{path}{place}", *values, fix=fix or None):
        read(path)


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        (b'{"a": 1}\nhello\n{"a": "\xe9"}\n[1]\n{"a": 2}\n', [1, 2, 3]),
        (b'{"a": "x\n{"a": 1}\n{"a": 2}\n', [0]),
        (b'[{"a": 1}, "x", {"a": 2}]', [1]),
        (b'a,b\n1,2\n1,2,3\n"1"2,3\n3,4\n', [1, 2]),
    ],
)
def test_skipped_rows_carry_their_error_and_keep_their_number(tmp_path: Path, content: bytes, bad: list[int]) -> None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    rows = read(path, on_bad_row="skip")
    assert [row.index for row in rows if row.error] == bad
    assert [row.index for row in rows] == list(range(len(bad) + 2))
    assert all(row.error.where == row.place for row in rows if row.error)


def test_what_is_damaged_as_a_whole_is_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b'[{"a": 1}, {"a"')
    with refused(f"{path}:1", "not JSON", fix="jq"):
        read(path, on_bad_row="skip")


def test_a_benchmark_has_no_rows_to_skip(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1\n{"a": 2}\n')
    with refused(f"{tmp_path / 'x.jsonl'}:1", "not JSON", fix="line") as caught:
        list(stream_rows(DataRef(path="x"), str(tmp_path / "x.jsonl")))
    assert "on_bad_row" not in caught.value.fix


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(",prompt,response,\n0,q,a,x\n")
    assert read(tmp_path / "rows.csv")[0].values == {"index": "0", "prompt": "q", "response": "a", "column 4": "x"}


def test_fields_of_csv_keep_line_breaks_and_other_separators(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b'prompt\tresponse\r\n"a,b; \r\nc"\t"d ""e"""\r\n')
    assert read(tmp_path / "rows")[0].values == {"prompt": "a,b; \r\nc", "response": 'd "e"'}


def test_one_column_is_csv_by_its_name_only(tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.txt"):
        (tmp_path / name).write_text("prompt\nq\n")
    assert read(tmp_path / "rows.csv")[0].values == {"prompt": "q"}
    with refused(tmp_path / "rows.txt", "prompt", fix="CSV"):
        read(tmp_path / "rows.txt")


def test_a_tar_archive_is_refused(tmp_path: Path) -> None:
    write_source(tmp_path / "rows.jsonl", ROWS)
    with tarfile.open(tmp_path / "rows.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "rows.jsonl")
    with refused(tmp_path / "rows.tar.gz", "tar archive", fix="unpack"):
        read(tmp_path / "rows.tar.gz")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with refused(tmp_path / "no.jsonl", "no such file"):
        read(tmp_path / "no.jsonl")


def test_rows_come_before_the_file_ends(tmp_path: Path) -> None:
    for form in ("lines", "array", "data", "csv"):
        path = write_source(tmp_path / form, ROWS * 100_000, form)
        assert next(stream_rows(DataRef(path="x"), str(path))).values == ROWS[0]
        path.write_bytes(path.read_bytes()[:-40])
        assert (
            len([row for row, _ in zip(stream_rows(DataRef(path="x"), str(path)), range(1000), strict=False)]) == 1000
        )


@pytest.mark.parametrize("form", FORMATS)
def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path, form: str) -> None:
    draw = random.Random(form)
    for kind in ("plain", "plain", "plain", *COMPRESSIONS) * 5:
        content = bytearray(COMPRESSIONS[kind](FORMATS[form](ROWS)))
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(len(content))
            content[place : place + draw.choice([0, 1, 1, 20])] = draw.randbytes(draw.choice([0, 1, 1, 4]))
        (tmp_path / "rows").write_bytes(content)
        with suppress(PrunegridError):
            read(tmp_path / "rows")


@pytest.mark.data
def test_every_file_of_the_mirror_is_read_whole(mirror: Path) -> None:
    files = sorted(mirror.rglob("*.jsonl"))
    assert files
    for file in files:
        expected = [json.loads(line) for line in file.read_bytes().split(b"\n") if line.strip()]
        assert [row.values for row in stream_rows(DataRef(path=str(file)), str(file))] == expected, file
