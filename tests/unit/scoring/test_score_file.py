"""Scores that something else made become a column: whose each is, what is refused, and what is recorded."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.core import files
from prunegrid.experiment.score_file import ScoreFile
from prunegrid.pruners import Needs
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score_file import import_scores
from support import handmade_scores
from support.errors import refused

LENGTHS = [2, 3, 1, 4]
IDS = [4, 7, 9, 12]
ROWS, TURNS = [0, 1, 1, 3], [0, 0, 1, 0]
BEST = [1.5, 4.0, 3.0, 2.0]
Row = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four samples of rows 0, 1 (two answers) and 3 of a source of five rows; the data carry `uid`."""
    given = handmade_scores.scores(LENGTHS, sample_id=IDS, samples={"nll": [1, 2, 3, 4]})
    folder = handmade_scores.write(tmp_path / "scores", given, meta={"digests": {"model": "m"}})
    table = pq.read_table(folder / "samples.parquet")
    for name, values in {"row": ROWS, "turn": TURNS}.items():
        table = table.append_column(name, pa.array(values, pa.int64()))
    files.write_parquet(folder / "samples.parquet", table)
    data = {"sample_id": IDS, "row": ROWS, "turn": TURNS, "uid": ["a", "b", "b", "d"]}
    files.write_parquet(folder / "data.parquet", pa.table(data))
    files.write_json(folder / "data.json", {"rows": 5})
    return folder


def jsonl(folder: Path, rows: list[Row] | list[Any], name: str = "judge.jsonl") -> Path:
    path = folder.parent / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def column(folder: Path, path: Path, name: str = "quality", **settings: Any) -> list[Any]:
    """What the pruners read of the imported scores."""
    imported(folder, path, name, **settings)
    return list(ScoresFolder(folder).read_samples(Needs({name: "p"}, {})).samples[name])


def imported(folder: Path, path: Path, name: str = "quality", **settings: Any) -> list[str]:
    values = ScoreFile.model_validate({"file": str(path), **settings})
    return import_scores(name, folder, values, folder / "extra" / f"{name}.parquet")


def test_rows_are_told_by_ids_and_not_by_their_order(folder: Path) -> None:
    rows = [{"sample_id": i, "quality": score} for i, score in zip(IDS, BEST, strict=True)]
    assert column(folder, jsonl(folder, rows[::-1])) == BEST
    files.write_parquet(folder.parent / "judge.parquet", pa.Table.from_pylist(rows[2:] + rows[:2]))
    assert column(folder, folder.parent / "judge.parquet") == BEST
    packed = folder.parent / "judge.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl(folder, rows).read_bytes()))
    assert column(folder, packed) == BEST
    (folder.parent / "array.json").write_text(json.dumps(rows))
    assert column(folder, folder.parent / "array.json") == BEST


@pytest.mark.parametrize(
    ("keys", "settings", "expected"),
    [
        ([{"row": r, "turn": t} for r, t in zip(ROWS, TURNS, strict=True)], {}, BEST),
        ([{"row": 0}, {"row": 1}, {"row": 2}, {"row": 3}], {}, [1.5, 4.0, 4.0, 2.0]),
        ([{"idx": 3}, {"idx": 1}, {"idx": 0}, {"idx": 8}], {"id": {"row": "idx"}}, [3.0, 4.0, 4.0, 1.5]),
        ([{"uid": "d"}, {"uid": "b"}, {"uid": "x"}, {"uid": "a"}], {"id": "uid"}, [2.0, 4.0, 4.0, 1.5]),
        (
            [{"u": u, "turn": t} for u, t in zip("abbd", TURNS, strict=True)],
            {"id": {"uid": "u", "turn": "turn"}},
            BEST,
        ),
    ],
)
def test_ids_may_be_rows_turns_or_what_the_data_carry(
    folder: Path, keys: list[Row], settings: Row, expected: list[float]
) -> None:
    rows = [{**key, "quality": score} for key, score in zip(keys, BEST, strict=True)]
    assert column(folder, jsonl(folder, rows), **settings) == expected
    files.write_parquet(folder.parent / "judge.parquet", pa.Table.from_pylist(rows))
    assert column(folder, folder.parent / "judge.parquet", **settings) == expected


def test_order_counts_the_rows_of_the_source(folder: Path) -> None:
    rows = [{"score": score} for score in (10, 11, 12, 13, 14)]
    assert column(folder, jsonl(folder, rows), id="order") == [10, 11, 11, 13]
    path = jsonl(folder, rows[:4])
    with refused(path, "4 rows", "5", fix="id"):
        imported(folder, path, id="order")
    files.write_json(folder / "data.json", {})
    with refused(folder / "data.json", "how many rows", fix="id"):
        imported(folder, path, id="order")


def test_a_field_within_a_field_is_a_column(folder: Path) -> None:
    """OpenDataArena's form: `scores.DeitaQScorer.score`."""
    rows = [{"id": i, "scores": {"D": {"score": s}}} for i, s in zip(IDS, BEST, strict=True)]
    settings = {"column": "scores.D.score", "id": {"sample_id": "id"}}
    assert column(folder, jsonl(folder, rows), **settings) == BEST
    files.write_parquet(folder.parent / "judge.parquet", pa.Table.from_pylist(rows))
    assert column(folder, folder.parent / "judge.parquet", **settings) == BEST


def test_lists_are_scores_of_tokens(folder: Path) -> None:
    lists = [[float(10 * i + j) for j in range(length)] for i, length in enumerate(LENGTHS)]
    rows = [{"sample_id": i, "influence": values} for i, values in zip(IDS, lists, strict=True)]
    lines = imported(folder, jsonl(folder, rows[::-1]), "influence")
    assert "a number for each response token" in lines[0]
    scores = ScoresFolder(folder).read(Needs({}, {"influence": "p"}))
    assert scores.tokens["influence"].tolist() == [value for values in lists for value in values]
    with refused(folder / "extra/influence.parquet", "list", fix="token"):
        ScoresFolder(folder).read_samples(Needs({"influence": "p"}, {}))
    assert "influence" in ScoresFolder(folder).columns("token")
    assert "influence" not in ScoresFolder(folder).columns("sample")

    path = jsonl(folder, [{**rows[0], "influence": [1.0] * 7}, *rows[1:]])
    with refused(f"{path}:1", "7 values", "2 response tokens", fix="end of the sequence"):
        imported(folder, path, "influence")
    shared = jsonl(folder, [{"row": row, "influence": [1.0]} for row in (0, 1, 3)])
    with refused(shared, "several answers", fix="turn"):
        imported(folder, shared, "influence")


def test_a_list_of_no_number_is_refused(folder: Path) -> None:
    rows = [{"sample_id": i, "influence": [1.0] * n} for i, n in zip(IDS, LENGTHS, strict=True)]
    path = jsonl(folder, [*rows[:3], {"sample_id": 12, "influence": [1, None, 3, 4]}])
    with refused(f"{path}:4", "nan"):
        imported(folder, path, "influence")


def test_what_was_imported_is_recorded(folder: Path) -> None:
    path = jsonl(folder, [{"sample_id": i, "score": 1} for i in [*IDS, 99]])
    lines = imported(folder, path, direction="lowest", source="GPT-4, 3 May")
    assert lines[1:] == [f"quality: rows without a sample: 1, the first: {path}:5"]
    made_of = ScoresFolder(folder).extra_digests(Needs({"quality": "p"}, {}))["quality"]
    assert made_of == {
        "model": "m",
        "file": str(path),
        "sha256": files.sha256sum(path),
        "column": "score",
        "id": "sample_id",
        "direction": "lowest",
        "source": "GPT-4, 3 May",
        "unused": "1",
    }


@pytest.mark.parametrize("rows", [[(4, 1.5), (9, 3.0)], [(4, 1.5), (7, None), (9, 3.0), (12, None)]])
def test_samples_without_a_score_are_refused_or_come_last(folder: Path, rows: list[tuple[int, Any]]) -> None:
    path = jsonl(folder, [{"sample_id": i, "quality": score} for i, score in rows])
    with refused(path, "2 of 4 samples", "sample_id 7", fix="missing: last"):
        imported(folder, path)
    assert not (folder / "extra").exists()
    lines = imported(folder, path, missing="last")
    assert lines[1] == "quality: samples without a score, ranked last: 2, the first: sample_id 7"
    values = column(folder, path, missing="last")
    assert values == [1.5, np.nextafter(1.5, 0), 3.0, np.nextafter(1.5, 0)]
    assert column(folder, path, missing="last", direction="lowest")[1] == np.nextafter(3.0, 4)


def test_a_file_of_other_samples_is_refused_whatever_is_missing(folder: Path) -> None:
    path = jsonl(folder, [{"sample_id": i, "quality": 1} for i in (100, 101)])
    with refused(path, "4 of 4 samples", fix="sample_id"):
        imported(folder, path, missing="last")


GOOD = [{"sample_id": i, "quality": 1.0} for i in IDS]


@pytest.mark.parametrize(
    ("row", "line", "what"),
    [
        ({"sample_id": 7, "quality": 2.0}, 5, "sample_id 7 occurs before"),
        ({"sample_id": 99, "quality": "4.5"}, 5, "'4.5'"),
        ({"sample_id": 99, "quality": True}, 5, "True"),
        ({"sample_id": 99, "quality": float("nan")}, 5, "nan"),
        ({"sample_id": 99, "quality": 10**400}, 5, "not a number"),
        ({"sample_id": 99, "quality": {"a": 1}}, 5, "not a number"),
        ({"sample_id": 99, "quality": [1.0]}, 5, "is a list, where earlier rows have numbers"),
        ({"quality": 1.0}, 5, "no sample_id"),
        ([1], 5, ""),
    ],
)
def test_a_bad_row_is_named_by_its_line(folder: Path, row: Any, line: int, what: str) -> None:
    path = jsonl(folder, [*GOOD, row])
    with refused(f"{path}:{line}", what):
        imported(folder, path)
    assert not (folder / "extra").exists(), "nothing is half written"


@pytest.mark.parametrize(
    ("columns", "settings", "what"),
    [
        ({"sample_id": IDS, "quality": ["1", "2", "3", "4"]}, {}, "string"),
        ({"sample_id": IDS, "quality": [None] * 4}, {}, "no scores in quality"),
        ({"sample_id": IDS, "rating": BEST}, {}, "quality"),
        ({"sample_id": ["4", "7", "9", "12"], "quality": BEST}, {}, "whole numbers"),
        ({"sample_id": [4.5, 7, 9, 12], "quality": BEST}, {}, "whole numbers"),
        ({"name": IDS, "quality": BEST}, {}, "no sample_id and no row"),
        ({"sample_id": IDS, "quality": BEST}, {"column": "quality.a"}, "quality.a"),
        ({"sample_id": IDS, "quality": BEST}, {"id": "uid"}, "uid"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(folder: Path, columns: Row, settings: Row, what: str) -> None:
    path = folder.parent / "judge.parquet"
    table = pa.table({k: pa.array(v, pa.float64()) if v[0] is None else pa.array(v) for k, v in columns.items()})
    files.write_parquet(path, table)
    with refused(path, what):
        imported(folder, path, **settings)


def test_a_carried_id_of_two_rows_tells_nothing(folder: Path) -> None:
    data = pa.table({"sample_id": IDS, "row": [0, 1, 2, 3], "turn": [0] * 4, "uid": ["a", "b", "b", "d"]})
    files.write_parquet(folder / "data.parquet", data)
    path = jsonl(folder, [{"uid": "a", "quality": 1.0}])
    with refused(folder / "data.parquet", "'b'", "row 1", "2", fix="unique"):
        imported(folder, path, id="uid")
    with refused(folder / "data.parquet", "no column key", fix="dataset.carry"):
        imported(folder, jsonl(folder, [{"key": "a", "quality": 1.0}]), id="key")


@pytest.mark.parametrize("name", ["nll", "ifd", "sample_id", "hidden_mean", "epoch_loss"])
def test_the_name_of_a_column_that_is_there_is_refused(folder: Path, name: str) -> None:
    with refused(name, "name of a column", fix="another"):
        imported(folder, jsonl(folder, GOOD), name)


@pytest.mark.parametrize(("content", "what"), [("", "no rows"), ("PK\x03\x04", "zip"), ("hello there", "")])
def test_a_file_that_holds_no_scores_is_refused(folder: Path, content: str, what: str) -> None:
    path = folder.parent / "judge.jsonl"
    path.write_text(content)
    with refused(path if what else f"{path}:1", what):
        imported(folder, path)
    with refused(folder.parent / "nothing.jsonl", "no such file", fix="path"):
        imported(folder, folder.parent / "nothing.jsonl")


def test_whole_numbers_beyond_a_double_are_scores(folder: Path) -> None:
    path = jsonl(folder, [{"sample_id": i, "quality": 2**60 + 2**20 * k} for k, i in enumerate(IDS)])
    assert column(folder, path) == [float(2**60 + 2**20 * k) for k in range(4)]
