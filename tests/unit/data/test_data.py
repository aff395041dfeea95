"""Data sets: the accepted fields, what is left out and counted, ids that outlive filters."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.data.datasets import locate, write_benchmark, write_dataset
from prunegrid.data.messages import full_message
from prunegrid.experiment.dataset import DataRef, Dataset
from support.errors import refused
from support.source_files import write_source

Row = dict[str, Any]


def convert(folder: Path, rows: list[Row], **settings: Any) -> tuple[pa.Table, dict[str, Any]]:
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = Dataset(name="toy", path=str(source), **settings)
    write_dataset(dataset, str(source), folder / "out.parquet", folder / "out.json")
    return pq.read_table(folder / "out.parquet"), json.loads((folder / "out.json").read_text())


def user(text: str) -> Row:
    return full_message("user", text)


def assistant(text: str) -> Row:
    return full_message("assistant", text)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "response": "a"},
        {"instruction": "q", "output": "a"},
        {"instruction": "q", "input": "", "output": "a"},
        {"instruction": "q", "context": "", "response": "a", "category": "x"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    ],
)
def test_write_dataset_accepts_each_form(tmp_path: Path, row: Row) -> None:
    table, _ = convert(tmp_path, [row])
    messages = [user("q"), assistant("a")]
    assert table.to_pylist() == [{"sample_id": 0, "row": 0, "turn": 0, "messages": messages, "tools": None}]


def test_write_dataset_puts_the_input_after_the_instruction(tmp_path: Path) -> None:
    table, _ = convert(tmp_path, [{"instruction": "Sum up.", "input": "A text.", "output": "a"}])
    assert table["messages"][0].as_py()[0] == user("Sum up.\n\nA text.")


def test_write_dataset_takes_a_null_instruction_as_empty(tmp_path: Path) -> None:
    rows = [{"instruction": None, "input": "A text.", "output": "a"}, {"instruction": None, "input": "", "output": "b"}]
    table, counts = convert(tmp_path, rows)
    assert [messages[0] for messages in table["messages"].to_pylist()] == [user("A text.")]
    assert counts["left_out"]["empty_prompt"] == 1


def test_write_dataset_makes_a_sample_of_each_assistant_turn(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "s"}, user("q1"), assistant("a1"), user("q2"), assistant("a2")]
    table, _ = convert(tmp_path, [{"messages": turns}, {"messages": turns[1:3]}])
    assert table["sample_id"].to_pylist() == [0, 1, 2]
    assert (table["row"].to_pylist(), table["turn"].to_pylist()) == ([0, 0, 1], [0, 1, 0])
    assert [len(messages) for messages in table["messages"].to_pylist()] == [3, 5, 2]


def test_write_dataset_counts_what_is_left_out_by_reason(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "response": "a"},
        {"prompt": "q", "response": " "},
        {"prompt": "q", "response": None},
        {"prompt": "", "response": "a"},
        {"prompt": "q", "response": "a"},
        {"prompt": "r", "response": "a"},
    ]
    table, counts = convert(tmp_path, rows)
    assert table["sample_id"].to_pylist() == [0, 4, 5]
    assert counts["left_out"] == {"empty_response": 2, "empty_prompt": 1, "over_max_samples": 0}
    assert (counts["rows"], counts["samples"], counts["duplicates"]) == (6, 3, 1)
    whole = counts["digest"]
    table, counts = convert(tmp_path, rows, drop_duplicates=True)
    assert table["sample_id"].to_pylist() == [0, 5]
    assert counts["left_out"]["duplicate"] == 1
    assert counts["digest"] != whole


def test_max_samples_is_nested_and_keeps_ids(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{i}", "response": "a"} for i in range(50)]
    few, _ = convert(tmp_path, rows, max_samples=5)
    more, counts = convert(tmp_path, rows, max_samples=20)
    assert set(few["sample_id"].to_pylist()) < set(more["sample_id"].to_pylist())
    assert more["sample_id"].to_pylist() == sorted(more["sample_id"].to_pylist())
    assert all(row["messages"][0] == user(f"q{row['sample_id']}") for row in more.to_pylist())
    assert counts["left_out"]["over_max_samples"] == 30


def test_carried_columns(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": "a", "kind": "noise", "level": 3}]
    table, _ = convert(tmp_path, rows, carry=["kind", "level"])
    assert table.select(["kind", "level"]).to_pylist() == [{"kind": "noise", "level": 3}]
    with refused(
        f"{tmp_path / 'source.jsonl'}:1", "no field kin", "kind, level, prompt, response", fix="dataset.carry"
    ):
        convert(tmp_path, rows, carry=["kin"])


@pytest.mark.parametrize(
    ("line", "row", "value"),
    [
        ('{"problem": "q", "solution": "a"}', ":1", "problem, solution"),
        ('{"prompt": "q"}', ":1", "prompt"),
        ('{"prompt": "q", "resp', ":1", "not JSON"),
        ('["q", "a"]', ": row 1", "str"),
        ("", "", "no rows"),
        ('{"messages": [{"role": "tool", "content": "x"}]}', "", "'no_answer': 1"),
        ('{"prompt": "q", "response": ""}', "", "'empty_response': 1"),
        ('{"prompt": "q", "response": 5}', ":1", "response is 5, a number"),
        ('{"messages": [{"role": "user", "content": null}]}', ":1", "messages[0] (user) has no content"),
    ],
)
def test_write_dataset_of_an_unusable_file_names_the_row(tmp_path: Path, line: str, row: str, value: str) -> None:
    source = tmp_path / "bad.jsonl"
    source.write_text(line)
    with refused(f"{source}{row}", value):
        write_dataset(Dataset(name="x", path=str(source)), str(source), tmp_path / "o.parquet", tmp_path / "o.json")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.jsonl"]


def test_locate_looks_in_the_mirror(tmp_path: Path) -> None:
    arc = DataRef(hub="allenai/ai2_arc", config="ARC-Easy", split="test")
    file = tmp_path / "allenai/ai2_arc/ARC-Easy/test.jsonl"
    assert locate(arc, tmp_path) is None
    file.parent.mkdir(parents=True)
    file.write_text('{"question": "q"}\n')
    assert locate(arc, tmp_path) == str(file)
    write_benchmark(arc, str(file), tmp_path / "items.jsonl")
    assert (tmp_path / "items.jsonl").read_text() == '{"question": "q"}\n'


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
def test_a_mirror_may_hold_other_formats(tmp_path: Path, suffix: str) -> None:
    write_source(tmp_path / f"org/name/v1.2{suffix}", [{"prompt": "q"}], {".json": "array"}.get(suffix, "parquet"))
    ref = DataRef(hub="org/name", split="v1.2")
    assert locate(ref, tmp_path) == str(tmp_path / f"org/name/v1.2{suffix}")
    write_source(tmp_path / "org/name/v1.2.jsonl", [{"prompt": "q"}])
    assert locate(ref, tmp_path) == str(tmp_path / "org/name/v1.2.jsonl")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "samples"),
    [("WizardLMTeam/WizardLM_evol_instruct_70k", 1000), ("databricks/databricks-dolly-15k", 2996)],
)
def test_real_training_sets(mirror: Path, tmp_path: Path, name: str, samples: int) -> None:
    dataset = Dataset(name="real", hub=name)
    write_dataset(dataset, locate(dataset, mirror), tmp_path / "o.parquet", tmp_path / "o.json")
    counts = json.loads((tmp_path / "o.json").read_text())
    assert counts["rows"] == samples == counts["samples"] + sum(counts["left_out"].values())


def test_write_dataset_of_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "latin1.jsonl"
    source.write_bytes('{"prompt": "q", "response": "é"}\n'.encode("latin1"))
    with refused(f"{source}:1", "UTF-8", fix="UTF-8"):
        write_dataset(Dataset(name="x", path=str(source)), str(source), tmp_path / "o.parquet", tmp_path / "o.json")


def test_carried_column_of_two_types_is_named(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": "a", "level": 1}, {"prompt": "q", "response": "b", "level": "high"}]
    with refused(f"{tmp_path / 'source.jsonl'}:2", "carried columns", "type of the rows before"):
        convert(tmp_path, rows, carry=["level"])
    assert not (tmp_path / "out.parquet").exists()
