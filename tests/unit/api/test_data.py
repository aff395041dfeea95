"""`pg.load` and `pg.score`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prunegrid as pg
from prunegrid.cli import app
from prunegrid.core.errors import PrunegridError
from support.errors import refused

ROWS = [{"prompt": f"What is {i}?", "response": f"{i} is it."} for i in range(6)]


def sources(folder: Path) -> dict[str, Any]:
    """The same rows in every form that `load` takes."""
    import datasets

    array, lines = folder / "rows.json", folder / "rows.jsonl"
    array.write_text(json.dumps(ROWS))
    lines.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    data_set = datasets.Dataset.from_list(ROWS)
    data_set.save_to_disk(folder / "saved")
    return {
        "path": array,
        "text": str(array),
        "glob": str(folder / "*.jsonl"),
        "folder": str(folder / "saved"),
        "list": ROWS,
        "generator": (row for row in ROWS),
        "frame": pd.DataFrame(ROWS),
        "datasets": data_set,
    }


def test_every_kind_of_source_gives_the_same_data(tmp_path: Path) -> None:
    loaded = {name: pg.load(source) for name, source in sources(tmp_path).items()}
    files = {name: data.file.read_bytes() for name, data in loaded.items()}
    assert [name for name, content in files.items() if content != files["list"]] == []
    frame = loaded["list"].to_pandas()
    assert len(loaded["list"]) == len(frame) == 6
    assert frame[["sample_id", "row", "turn"]].to_numpy().tolist() == [[i, i, 0] for i in range(6)]
    assert frame["messages"][2][1]["content"] == "2 is it."


def test_load_counts_what_it_leaves_out_and_says_so() -> None:
    data = pg.load([*ROWS, {"prompt": "Silent?", "response": " "}])
    assert (data.counts["rows"], len(data), data.counts["left_out"]["empty_response"]) == (7, 6, 1)
    assert "rows: 7" in repr(data) and "empty responses: 1" in repr(data)


def test_load_takes_the_settings_of_a_data_set() -> None:
    rows = [{"q": "Who?", "a": "Cats.", "source": "book", "note": "n"}, {"q": 1}]
    settings: dict[str, Any] = {"fields": {"prompt": "q", "response": "a"}, "ignore": ["note"], "carry": ["source"]}
    data = pg.load(rows, on_bad_row="skip", **settings)
    assert data.columns == ["sample_id", "row", "turn", "messages", "tools", "source"]
    assert data.to_pandas()["source"].tolist() == ["book"]
    assert len(pg.load(ROWS * 2, drop_duplicates=True, max_samples=4)) == 4


@pytest.mark.parametrize(
    ("source", "settings", "where", "what"),
    [
        ([], {}, "rows", "no rows"),
        (5, {}, "rows", "int"),
        ("nowhere.json", {}, "nowhere.json", "no such file"),
        (ROWS, {"turns": "some"}, "data: turns", "some"),
        (ROWS, {"carry": ["row"]}, "data", "row"),
        ([{"prompt": "a", "response": "b"}, "text"], {}, "rows[1]", "str"),
    ],
)
def test_bad_sources_are_one_line(source: Any, settings: dict[str, Any], where: str, what: str) -> None:
    with refused(where, what):
        pg.load(source, **settings)


def test_score_equals_the_command(tmp_path: Path, tiny_model: Path) -> None:
    array = sources(tmp_path)["path"]
    app.main(["score", str(array), "--model", str(tiny_model), "--out", str(tmp_path / "command"), "--threads", "1"])
    given = {"list": ROWS, "data": pg.load(ROWS), "path": array}
    for name, data in given.items():
        scores = pg.score(data, tiny_model, tmp_path / name, threads=1)
        assert scores.meta["samples"] == 6
        for file in ("samples.parquet", "tokens.parquet", "data.parquet"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "command" / file).read_bytes(), (name, file)


def test_selection_exports_and_shows(tmp_path: Path, tiny_model: Path) -> None:
    """From scores to rows of another trainer: the same ids and labels by either way."""
    import pyarrow.parquet as pq

    scores = pg.score(ROWS, tiny_model, tmp_path / "scores", threads=1)
    kept = pg.prune(scores, "infobatch+ppl", samples=3, tokens=0.5)
    data_set = kept.to_datasets()
    assert data_set.column_names == ["input_ids", "attention_mask", "labels"] and len(data_set) == 3
    assert sum(label != -100 for row in data_set for label in row["labels"]) == kept.summary().kept_tokens
    out = pg.export(kept, "trl", tmp_path / "trl")
    assert pq.read_table(out / "train.parquet").to_pylist() == data_set.to_list()
    shorter = kept.to_datasets(removal="drop")
    assert all(len(a["input_ids"]) < len(b["input_ids"]) for a, b in zip(shorter, data_set, strict=True))
    texts = kept.text(samples=kept.sample_ids[:1]).splitlines()
    assert texts[0].startswith(f"sample_id {kept.sample_ids[0]} (row {kept.sample_ids[0]}, turn 0), rank: ")
    assert texts[1].startswith("Question: What is") and "[-" in texts[2]


def test_weights_are_refused_or_drawn(tmp_path: Path, tiny_model: Path) -> None:
    scores = pg.score(ROWS, tiny_model, tmp_path / "scores", threads=1)
    kept = pg.prune(scores, "infobatch-original", samples=0.5, options={"prune_probability": 0.2})
    with refused(kept.folder / "selection.parquet", "weight", fix="resample"):
        kept.to_datasets()
    assert len(kept.to_datasets(resample=True)) >= 1


@pytest.mark.parametrize(
    ("arguments", "where", "what"),
    [
        ({"dtype": "int8"}, "score: dtype", "int8"),
        ({"max_length": 2}, "score: max_length", "2"),
        ({"devices": "9"}, "devices 9", "no GPU"),
    ],
)
def test_bad_settings_of_score_are_one_line(
    tmp_path: Path, tiny_model: Path, arguments: Any, where: str, what: str
) -> None:
    with pytest.raises(PrunegridError) as caught:
        pg.score(ROWS, tiny_model, tmp_path / "scores", **arguments)
    assert caught.value.where == where and what in str(caught.value)
    assert not (tmp_path / "scores").exists()
