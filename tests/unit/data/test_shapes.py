"""Shapes of rows: each becomes its conversation, `turns` says which answers are learned, and the counts add up."""

import json
from itertools import chain, product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.data.counts import intake_lines
from prunegrid.data.datasets import write_dataset
from prunegrid.data.messages import to_template
from prunegrid.experiment.dataset import Dataset
from support.errors import refused
from support.shapes import FOUR, OPENAI, SHAPES, SHAREGPT, TWO, assistant, system

TURNS = ("each", "last", "all")


def convert(folder: Path, rows: list[Any], **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = Dataset(name="toy", path=str(source), **settings)
    write_dataset(dataset, str(source), folder / "out.parquet", folder / "out.json")
    return pq.read_table(folder / "out.parquet").to_pylist(), json.loads((folder / "out.json").read_text())


def plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message | {"train": None} for message in messages]


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_of_each_shape_becomes_its_conversation(tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    samples, counts = convert(tmp_path, [shape.row])
    answers = [i for i, message in enumerate(shape.messages) if message["role"] == "assistant"]
    learned = [(turn, end) for turn, end in enumerate(answers) if turn not in shape.untrained]
    assert [sample["messages"] for sample in samples] == [shape.messages[: end + 1] for _, end in learned]
    assert [(sample["sample_id"], sample["turn"]) for sample in samples] == [(turn, turn) for turn, _ in learned]
    assert {sample["tools"] and sample["tools"].strip() for sample in samples} == {
        None if shape.tools is None else json.dumps(shape.tools)
    }
    assert counts["left_out"].get("not_trained", 0) == len(shape.untrained)


@pytest.mark.parametrize("name", SHAPES)
def test_turns_say_which_answers_of_each_shape_are_learned(tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    answers = [i for i, message in enumerate(shape.messages) if message["role"] == "assistant"]
    learned = [end for turn, end in enumerate(answers) if turn not in shape.untrained]
    ((last,), _), ((whole,), _) = (convert(tmp_path, [shape.row], turns=turns) for turns in ("last", "all"))
    assert plain(last["messages"]) == last["messages"] == shape.messages[: learned[-1] + 1]
    assert last["turn"] == last["sample_id"] == answers.index(learned[-1])
    assert plain(whole["messages"]) == shape.messages[: learned[-1] + 1]
    assert [i for i, message in enumerate(whole["messages"]) if message["train"]] == learned
    assert (whole["sample_id"], whole["turn"]) == (0, 0)


BAD = [
    {"prompt": 12, "response": "x"},
    {"messages": [{"role": "narrator", "content": "x"}]},
    {"messages": [{"role": None, "content": "x"}]},
]
WITHOUT_SAMPLES = [
    {"messages": []},
    {"messages": [{"role": "system", "content": "x"}]},
    {"messages": OPENAI[:1]},
    {"conversations": ["Hello?"]},
    {"prompt": "q", "response": " "},
    {"prompt": "q", "response": None},
    {"prompt": "", "response": "a"},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]},
]


@pytest.mark.parametrize(
    ("turns", "bad", "settings"),
    [*product(TURNS, (False, True), ({}, {"max_samples": 9}, {"drop_duplicates": True}))],
)
def test_what_is_read_is_what_is_written_and_what_is_left_out(
    tmp_path: Path, turns: str, bad: bool, settings: dict[str, Any]
) -> None:
    rows = [shape.row for shape in SHAPES.values()]
    behind = {"messages": [*OPENAI, *OPENAI, *OPENAI[:1]]}
    first = {"messages": [OPENAI[1], *OPENAI]}
    rows = [behind, *(row for pair in zip(rows, rows, strict=True) for row in pair), first, *WITHOUT_SAMPLES]
    if bad:
        rows, settings = [*BAD, *rows, *BAD], settings | {"on_bad_row": "skip"}
    samples, counts = convert(tmp_path, rows, turns=turns, **settings)
    learned = sum(
        sum(message["train"] for message in sample["messages"]) if turns == "all" else 1 for sample in samples
    )
    rows_without_answer = counts["left_out"]["no_answer"] + counts["left_out"].get("bad_row", 0)
    assert (counts["samples"], counts["learned"]) == (len(samples), learned)
    assert counts["answers"] + rows_without_answer == learned + sum(counts["left_out"].values())
    with_samples = len({sample["row"] for sample in samples})
    assert counts["rows_with_samples"] == with_samples
    assert counts["rows"] == len(rows) == with_samples + sum(counts["rows_left_out"].values())
    assert sum(counts["shapes"].values()) == len(rows) - len(BAD) * 2 * bad
    assert counts["rows_left_out"]["no_answer"] == counts["left_out"]["no_answer"] == 4
    assert counts["trailing_messages"] == 1 + 2 * 2  # of `behind`, and of both rows "train"


@pytest.mark.parametrize("turns", TURNS)
def test_one_answer_a_row_is_a_sample_or_left_out(tmp_path: Path, turns: str) -> None:
    rows = [*BAD, *WITHOUT_SAMPLES, {"messages": OPENAI}, {"messages": [*OPENAI, *OPENAI[:1]]}]
    samples, counts = convert(tmp_path, rows, turns=turns, on_bad_row="skip")
    assert counts["rows"] == 13 == len(samples) + sum(counts["left_out"].values())
    assert counts["left_out"] == {
        "empty_response": 2,
        "empty_prompt": 1,
        "no_answer": 4,
        "bad_row": 3,
        "not_trained": 1,
        "over_max_samples": 0,
    }
    assert counts["trailing_messages"] == 1


@pytest.mark.parametrize("turns", TURNS)
def test_sample_ids_lead_back_to_row_and_turn(tmp_path: Path, turns: str) -> None:
    rows = [*(shape.row for shape in SHAPES.values()), BAD[0], {"messages": OPENAI}]
    samples, _ = convert(tmp_path, rows, turns=turns, on_bad_row="skip")
    answers = [sum(m["role"] == "assistant" for m in shape.messages) for shape in SHAPES.values()] + [1, 1]
    for sample in samples:
        assert sample["sample_id"] == sum(answers[: sample["row"]]) + sample["turn"]
        assert sample["row"] in (len(rows) - 1, *range(len(SHAPES)))
    shapes = [*SHAPES.values()]
    for sample in samples[:-1]:
        messages = shapes[sample["row"]].messages
        assert plain(sample["messages"]) == messages[: len(sample["messages"])]


def test_skipped_rows_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    rows = [*BAD * 3, {"messages": OPENAI}]
    ((sample,), counts) = convert(tmp_path, rows, on_bad_row="skip")
    assert (sample["sample_id"], sample["row"]) == (9, 9)
    assert counts["left_out"]["bad_row"] == 9
    source = tmp_path / "source.jsonl"
    assert [line.partition(": ")[0] for line in counts["bad_rows"]] == [f"{source}:{i}" for i in range(1, 6)]
    assert "prompt is 12, a number" in counts["bad_rows"][0]
    with refused(f"{tmp_path}/source.jsonl:1", "prompt is 12", fix="--on-bad-row skip"):
        convert(tmp_path, rows)


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ({"q": "Hello?", "a": "Good day."}, {"prompt": "q", "response": "a"}),
        ({"prompt": "Hello?", "chosen": "Good day."}, {"response": "chosen"}),
        ({"task": "Hello?", "response": "Good day."}, {"prompt": "task"}),
        ({"chat": OPENAI}, {"messages": "chat"}),
        ({"chat": SHAREGPT, "prompt": "Hello?"}, {"messages": "chat"}),
        ({"input": "Hello?", "output": "Good day."}, {"prompt": "input", "response": "output"}),
    ],
)
def test_fields_name_what_is_not_recognised(tmp_path: Path, row: dict[str, Any], fields: dict[str, str]) -> None:
    ((sample,), _) = convert(tmp_path, [row], fields=fields)
    assert sample["messages"] == TWO


def test_fields_name_the_system_text(tmp_path: Path) -> None:
    rows = [{"persona": "Be terse.", "prompt": "Hello?", "response": "Good day."}, {"prompt": "One?", "response": "1"}]
    (first, second), _ = convert(tmp_path, rows, fields={"system": "persona"})
    assert first["messages"] == [system("Be terse."), *TWO]
    assert second["messages"] == FOUR[:2]


def test_fields_that_the_row_lacks_are_refused(tmp_path: Path) -> None:
    with refused(f"{tmp_path}/source.jsonl:1", "no field question_text", "fields.prompt", "question, response"):
        convert(tmp_path, [{"question": "q", "response": "a"}], fields={"prompt": "question_text"})


@pytest.mark.parametrize("name", ["rationale", "hint", "cot", "persona", "original_question", "tool_output"])
def test_text_that_nobody_reads_is_refused_unless_ignored_or_carried(tmp_path: Path, name: str) -> None:
    rows = [{"prompt": "q", "response": "a", name: "because"}, {"prompt": "q2", "response": "a2", name: ""}]
    with refused(f"{tmp_path}/source.jsonl:1", f"{name} holds text", '"because"', fix=f"--ignore {name}"):
        convert(tmp_path, rows)
    samples, counts = convert(tmp_path, rows, ignore=[name])
    assert len(samples) == 2
    assert counts["unread"] == {name: 1}
    samples, counts = convert(tmp_path, rows, carry=[name])
    assert ([sample[name] for sample in samples], counts["unread"]) == (["because", ""], {})
    with refused(f"{tmp_path}/source.jsonl:1", f"{name} holds text"):
        convert(tmp_path, rows, on_bad_row="skip")


def test_text_of_message_keys_and_lists_is_refused_too(tmp_path: Path) -> None:
    messages = [{**OPENAI[0], "mood": "angry"}, OPENAI[1]]
    with refused(f"{tmp_path}/source.jsonl:1", "notes, messages.mood hold text", "notes: [{", fix="--ignore"):
        convert(tmp_path, [{"messages": messages, "notes": [{"by": "Ann"}]}])
    _, counts = convert(tmp_path, [{"messages": messages, "notes": [1]}], ignore=["mood"])
    assert counts["unread"] == {"messages.mood": 1, "notes": 1}


def test_numbers_and_truth_values_of_csv_are_no_text(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": "a", "length": "12", "rating": "-3.5e2", "redacted": "False", "note": " "}]
    _, counts = convert(tmp_path, rows)
    assert counts["unread"] == {"length": 1, "rating": 1, "redacted": 1, "note": 1}
    with refused(f"{tmp_path}/source.jsonl:1", "steps holds text"):
        convert(tmp_path, [{"prompt": "q", "response": "a", "steps": "3 * 4 = 12"}])


BOOKKEEPING = {
    "Dolly": {"category": "open_qa"},
    "WizardLM": {"idx": 17},
    "Tulu": {"id": "flan_v2_1", "source": "ai2-adapt-dev/flan_v2_converted", "dataset": "flan_v2"},
    "LIMA": {"source": "wikihow"},
    "UltraChat, No Robots": {"prompt_id": "df3c", "category": "Open QA"},
    "OpenHermes": {"topic": "Geography", "model": "gpt-4", "language": "English", "hash": "0f", "views": 3},
    "Hermes": {"id": "4e", "category": "API Call", "subcategory": "Travel", "task": "Book a flight"},
    "LMSYS": {"conversation_id": "ab", "model": "vicuna-13b", "language": "English", "turn": 1, "redacted": True},
    "WildChat": {"conversation_hash": "cd", "timestamp": "2023-04-09 00:01:53", "country": "Norway", "hashed_ip": "e"},
    "Infinity-Instruct": {"langdetect": "en", "label": {"ability_en": ["recall"]}, "reward": 2.5},
    "MathInstruct, MetaMathQA": {"source": "data/CoT/gsm.json", "type": "MATH_AnsAug"},
    "Magpie": {"uuid": "3", "task_category": "Planning", "difficulty": "easy", "input_quality": "good"},
    "camel case": {"conversationId": "ab", "questionType": "open"},
}


@pytest.mark.parametrize("name", BOOKKEEPING)
def test_what_data_sets_keep_beside_the_text_stops_nobody(tmp_path: Path, name: str) -> None:
    rows = [{"messages": OPENAI, **BOOKKEEPING[name]}, {"prompt": "q", "response": "a", **BOOKKEEPING[name]}]
    _, counts = convert(tmp_path, rows)
    assert counts["unread"] == dict.fromkeys(BOOKKEEPING[name], 2)


def test_a_field_that_is_read_is_not_a_duplicate_of_a_row_without_it(tmp_path: Path) -> None:
    rows = [{"system": text, "prompt": "Hello", "response": "Bonjour"} for text in ("In French.", "In German.")]
    samples, counts = convert(tmp_path, rows, drop_duplicates=True)
    assert (len(samples), counts["duplicates"]) == (2, 0)


def test_tools_of_a_table_have_no_nulls_of_other_tools(tmp_path: Path) -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"city": {"type": "string"}}}},
        {"type": "function", "function": {"name": "g", "parameters": {"year": {"type": "integer"}}}},
    ]
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([{"messages": OPENAI, "tools": tools}]), source)
    write_dataset(Dataset(name="x", path=str(source)), str(source), tmp_path / "o.parquet", tmp_path / "o.json")
    assert json.loads(pq.read_table(tmp_path / "o.parquet")["tools"][0].as_py()) == tools


def union(*names: str) -> pa.Table | None:
    """A table of rows of several shapes, with nulls where a row has no such field; None if a field has two types."""
    rows = [SHAPES[name].row for name in names]
    try:
        return pa.table({field: pa.array([row.get(field) for row in rows]) for field in chain.from_iterable(rows)})
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None


OTHERS = ("openai with tools", "exchanges of human and assistant", "openai as JSON", "lima")
UNIONS = [names for names in product(SHAPES, OTHERS) if union(*names)]


@pytest.mark.parametrize(("name", "other"), UNIONS)
def test_a_table_of_two_shapes_has_nulls_and_reads_the_same(tmp_path: Path, name: str, other: str) -> None:
    pair = [SHAPES[name], SHAPES[other]]
    source = tmp_path / "rows.parquet"
    pq.write_table(union(name, other), source)
    dataset = Dataset(name="x", path=str(source), turns="all")
    write_dataset(dataset, str(source), tmp_path / "o.parquet", tmp_path / "o.json")
    for sample, shape in zip(pq.read_table(tmp_path / "o.parquet").to_pylist(), pair, strict=True):
        length = len(sample["messages"])
        assert [m["role"] for m in sample["messages"]] == [m["role"] for m in shape.messages[:length]]
        assert to_template(plain(sample["messages"])) == to_template(shape.messages[:length])


@pytest.mark.parametrize("mark", [{"train": False}, {"weight": 0}, {"loss_weight": 0.0}, {"weight": "0"}])
def test_a_row_marked_as_context_is_no_sample(tmp_path: Path, mark: dict[str, Any]) -> None:
    rows = [{"messages": FOUR, **mark}, {"messages": OPENAI, **dict.fromkeys(mark, 1)}]
    samples, counts = convert(tmp_path, rows)
    assert [(sample["sample_id"], sample["row"]) for sample in samples] == [(2, 1)]
    assert counts["left_out"]["not_trained"] == 2 and not counts["unread"]


@pytest.mark.parametrize("mark", [{"training": False}, {"loss": False}])
def test_marks_of_other_trainers_are_read(tmp_path: Path, mark: dict[str, Any]) -> None:
    samples, counts = convert(tmp_path, [{"messages": [*FOUR[:-1], FOUR[-1] | mark]}])
    assert [sample["turn"] for sample in samples] == [0]
    assert counts["left_out"]["not_trained"] == 1


def test_answers_to_avoid_are_skipped_or_learned_as_asked(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": text, "label": text == "good"} for text in ("good", "bad")]
    samples, counts = convert(tmp_path, rows, on_bad_row="skip")
    assert [sample["messages"][-1]["content"] for sample in samples] == ["good"]
    assert counts["left_out"]["bad_row"] == 1
    samples, _ = convert(tmp_path, rows, ignore=["label"])
    assert len(samples) == 2


def test_two_answers_in_a_row_are_two_samples(tmp_path: Path) -> None:
    samples, _ = convert(tmp_path, [{"messages": [*OPENAI, {"role": "assistant", "content": "More."}]}])
    assert [sample["messages"] for sample in samples] == [TWO, [*TWO, assistant("More.")]]


def test_an_answer_without_anything_before_it_is_no_sample(tmp_path: Path) -> None:
    samples, counts = convert(tmp_path, [{"messages": [OPENAI[1], *OPENAI]}])
    assert [(sample["sample_id"], sample["turn"]) for sample in samples] == [(1, 1)]
    assert samples[0]["messages"] == [TWO[1], *TWO]
    assert counts["left_out"]["empty_prompt"] == 1


def test_intake_lines_name_all_that_is_left_out(tmp_path: Path) -> None:
    rows = [*BAD, *WITHOUT_SAMPLES, {"messages": [*OPENAI, *OPENAI[:1]], "id": "7"}, {"prompt": "q", "response": "a"}]
    _, counts = convert(tmp_path, rows, on_bad_row="skip")
    lines = intake_lines(counts)
    assert lines[0] == "rows: 13 (5 messages, 1 conversations, 4 prompt + response); samples: 2"
    assert "left out: rows without an answer: 4" in lines
    assert "left out: rows that cannot be read: 3" in lines
    assert "left out: answers that are context (train: false, weight: 0): 1" in lines
    assert "left out: messages after the last learned answer of their row: 1" in lines
    assert "fields not read: id (1)" in lines
    assert sum(line.startswith("skipped: ") for line in lines) == 3


def test_intake_lines_of_a_file_of_version_0_1() -> None:
    counts = {"rows": 4, "samples": 3, "left_out": {"empty_response": 1, "empty_prompt": 0}, "duplicates": 2}
    assert intake_lines(counts) == [
        "rows: 4; samples: 3",
        "left out: empty responses: 1",
        "duplicates: 2 (--drop-duplicates or dataset.drop_duplicates leaves them out)",
    ]
