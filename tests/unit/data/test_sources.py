"""Folders and globs: which files are read, in which order, and which are not."""

import hashlib
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from prunegrid.data.counts import intake_lines
from prunegrid.data.datasets import write_dataset
from prunegrid.data.rows import stream_rows
from prunegrid.data.sources import source_files
from prunegrid.experiment.dataset import Dataset
from support.errors import refused
from support.source_files import write_source


def rows_of(name: str, number: int = 2) -> list[dict[str, str]]:
    return [{"prompt": f"{name} {i}", "response": "a"} for i in range(number)]


def prompts(source: Path | str, **settings: Any) -> list[str]:
    ref = Dataset(name="d", path=str(source), **settings)
    return [row.values["prompt"] for row in stream_rows(ref, str(source))]


def write_files(folder: Path, *names: str) -> Path:
    """Files of one row each, whose prompt is the file's name."""
    for name in names:
        form = "parquet" if name.endswith(".parquet") else "lines"
        compression = "gzip" if name.endswith(".gz") else "plain"
        write_source(folder / name, [{"prompt": name, "response": "a"}], form, compression)
    return folder


def test_a_folder_is_its_data_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = write_files(tmp_path, "b.jsonl.gz", "a/2.parquet", "a/1.json", "c.jsonl")
    for name in ("README.md", "dataset_info.json", "_SUCCESS", ".hidden.jsonl", ".cache/x.jsonl", "notes.txt"):
        write_files(folder, name)
    assert prompts(folder) == ["a/1.json", "a/2.parquet", "b.jsonl.gz", "c.jsonl"]
    ref = Dataset(name="d", path=str(folder))
    assert source_files(ref, str(folder)).skipped == ["README.md", "_SUCCESS", "dataset_info.json", "notes.txt"]
    rows = list(stream_rows(ref, str(folder)))
    assert [row.index for row in rows] == [0, 1, 2, 3]
    assert rows[1].place == f"{folder / 'a/2.parquet'}: row 1"


def test_a_glob_is_the_files_that_it_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, "part-2.jsonl", "part-1.jsonl", "other.jsonl", "x/y/part-3.jsonl", "part.md", "part-0.rows")
    assert prompts(tmp_path / "part*") == ["part-1.jsonl", "part-2.jsonl"]
    assert prompts(tmp_path / "*.rows") == ["part-0.rows"]
    monkeypatch.chdir(tmp_path)
    assert prompts("**/part-?.jsonl") == ["part-1.jsonl", "part-2.jsonl", "x/y/part-3.jsonl"]


def test_a_file_whose_name_has_signs_of_a_glob_is_that_file(tmp_path: Path) -> None:
    write_files(tmp_path, "rows[1].jsonl", "rows1.jsonl")
    assert prompts(tmp_path / "rows[1].jsonl") == ["rows[1].jsonl"]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        ("test_sft", ["data/test_sft-00000-of-00001-abc.parquet"]),
    ],
)
def test_a_hub_copy_is_the_files_of_its_split(tmp_path: Path, split: str, expected: list[str]) -> None:
    names = [f"data/{name}" for name in ("train-00001-of-00002", "train-00000-of-00002", "test_sft-00000-of-00001-abc")]
    folder = write_files(tmp_path, *(f"{name}.parquet" for name in names))
    assert prompts(folder, split=split) == expected


@pytest.mark.parametrize(
    "names",
    [
        ["train.jsonl", "test.jsonl"],
        ["my_train_file.jsonl", "dev.jsonl", "other.jsonl"],
        ["train/a.jsonl", "train/b.jsonl", "validation/a.jsonl"],
        ["data/train-00000-of-00001.parquet", "data/valid-00000-of-00001.parquet"],
        ["a.jsonl", "b.jsonl"],
        ["training-1.jsonl", "training-2.jsonl", "eval.jsonl"],
    ],
)
def test_files_of_a_split_are_those_that_datasets_takes(tmp_path: Path, names: list[str]) -> None:
    folder = write_files(tmp_path / "copy", *names)
    form = "parquet" if names[0].endswith(".parquet") else "json"
    theirs = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"), revision=None)
    assert form in ("parquet", "json") and prompts(folder) == list(theirs["prompt"])


def test_the_configurations_of_a_hub_copy_are_those_of_its_card(tmp_path: Path) -> None:
    folder = write_files(tmp_path, "en/one.jsonl", "en/two.jsonl", "de/one.jsonl", "extra.jsonl")
    configs = [
        {
            "config_name": "en",
            "data_files": [{"split": "train", "path": ["en/o*.jsonl"]}, {"split": "two", "path": "en/t*"}],
        },
        {"config_name": "de", "data_dir": "de"},
    ]
    (folder / "README.md").write_text("---\nconfigs: " + json.dumps(configs) + "\n---\n# Title\n")
    assert prompts(folder, config="en") == ["en/one.jsonl"]
    assert prompts(folder, config="en", split="two") == ["en/two.jsonl"]
    assert prompts(folder, config="de") == ["de/one.jsonl"]
    for settings, values in (({}, ["en, de"]), ({"config": "fr"}, ["en, de", "fr"])):
        with refused(folder, "configurations", *values, fix="config"):
            prompts(folder, **settings)
    with refused(folder, "split test", "train, two", fix="split"):
        prompts(folder, config="en", split="test")


def test_a_saved_data_set_is_its_split(tmp_path: Path) -> None:
    train, test = (datasets.Dataset.from_list(rows_of(name, 5)) for name in ("train", "test"))
    train.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict(train=train, test=test).save_to_disk(tmp_path / "both")
    assert prompts(tmp_path / "one") == prompts(tmp_path / "both") == [f"train {i}" for i in range(5)]
    assert prompts(tmp_path / "both", split="test") == [f"test {i}" for i in range(5)]
    with refused(tmp_path / "both", "split dev", "test, train", fix="split"):
        prompts(tmp_path / "both", split="dev")


def test_a_source_without_files_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with refused(tmp_path, "no data files", "notes.txt", fix=".jsonl"):
        prompts(tmp_path)
    with refused(tmp_path / "*.jsonl", "matches no file", fix=".jsonl"):
        prompts(tmp_path / "*.jsonl")
    write_files(tmp_path, "test.jsonl")
    with refused(tmp_path, "split train", "test", fix="split"):
        prompts(tmp_path)


def test_a_text_of_data_is_no_path() -> None:
    with refused("'[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[['...", "too long", fix="path of a file"):
        prompts("[" * 5000)


def test_an_empty_path_is_not_the_folder_that_one_is_in() -> None:
    with refused("data", "empty text", fix="a file"):
        prompts("")


def test_the_cache_of_a_repository_is_no_copy_of_it(tmp_path: Path) -> None:
    write_files(tmp_path, "blobs/0a", "snapshots/1b/train.jsonl")
    with refused(tmp_path, "cache", fix="1b"):
        prompts(tmp_path)
    assert prompts(tmp_path / "snapshots/1b") == ["snapshots/1b/train.jsonl"]


def test_a_digest_is_of_one_file(tmp_path: Path) -> None:
    file = write_files(tmp_path, "a.jsonl") / "a.jsonl"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert prompts(file, sha256=digest) == ["a.jsonl"]
    for source in (tmp_path, tmp_path / "*.jsonl"):
        with refused(source, "sha256", fix="one file"):
            prompts(source, sha256=digest)


def test_data_json_names_the_files_of_a_folder(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "rows", "b.jsonl", "a.jsonl", "README.md")
    write_dataset(Dataset(name="d", path=str(folder)), str(folder), tmp_path / "o.parquet", tmp_path / "o.json")
    counts = json.loads((tmp_path / "o.json").read_text())
    assert counts["files"] == [str(folder / "a.jsonl"), str(folder / "b.jsonl")]
    assert counts["skipped_files"] == ["README.md"]
    assert counts["rows"] == 2
    assert "files: 2; not read: README.md" in intake_lines(counts)
    assert "files: 1; not read: 0, 1, 2, 3, 4 and 2 more" in intake_lines(
        counts | {"files": ["a"], "skipped_files": list("0123456")}
    )
