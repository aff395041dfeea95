"""Selections of whole samples as text, in each consumer's words; character offsets of pruned ones."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunegrid.exporters.export import export
from support.errors import refused
from support.exported import Kept, exported, write_data, write_kept, write_selection

EOS = 0
CALLS = '[{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]'
TOOLS = '[{"type": "function", "function": {"name": "add"}}]'


def whole(turns: int = 1) -> list[Kept]:
    """Samples that keep all; each after the first continues its conversation."""
    return [Kept([1], [2, EOS], [0, 1], continues=turn > 0) for turn in range(turns)]


def write(folder: Path, samples: list[Kept], *conversations: dict[str, Any]) -> Path:
    selection = write_kept(folder, samples)
    write_data(folder / "scores", list(conversations))
    return selection


def chat(*messages: Any, first: int = 0, **columns: Any) -> dict[str, Any]:
    return {"sample_id": first, "messages": [*messages], **columns}


def answer(text: str, train: bool | None = True, **fields: Any) -> tuple[str, str, dict[str, Any]]:
    return ("assistant", text, {"train": train, **fields})


@pytest.mark.parametrize("consumer", ["openai", "trl", "llamafactory"])
def test_text_of_pruned_tokens_is_refused(tmp_path: Path, consumer: str) -> None:
    samples = [*whole(), Kept([1], [2, 3, EOS], [0, 2])]
    selection = write(tmp_path, samples, *(chat(("user", "a"), ("assistant", "b"), first=i) for i in range(2)))
    with refused(selection / "selection.parquet", "sample_id 1", "text cannot show", fix="token"):
        export(selection, consumer, tmp_path / "out", as_text=True)
    assert not (tmp_path / "out").exists()


def test_text_with_dropped_tokens_is_refused(tmp_path: Path) -> None:
    with refused("--removal drop", "text has all", fix="ids"):
        export(tmp_path, "openai", tmp_path / "out", removal="drop")


def test_openai_weighs_the_answers_that_are_kept(tmp_path: Path) -> None:
    samples = [whole()[0], Kept([1], [2, EOS], None, continues=True), whole(2)[1]]
    turns = [("user", "a"), answer("A"), ("user", "b"), answer("B"), ("user", "c"), answer("C"), ("user", "d")]
    (row,) = exported(write(tmp_path, samples, chat(("system", "s"), *turns)), "openai")
    assert row == {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "A", "weight": 1},
            {"role": "user", "content": "b"},
            {"role": "assistant", "content": "B", "weight": 0},
            {"role": "user", "content": "c"},
            {"role": "assistant", "content": "C", "weight": 1},
        ]
    }


def test_openai_has_arguments_of_tools_as_text(tmp_path: Path) -> None:
    turns = [("user", "1?"), ("assistant", None, {"tool_calls": CALLS}), ("tool", "2", {"tool_call_id": "x"})]
    selection = write(tmp_path, whole(), chat(*turns, ("assistant", "two"), tools=TOOLS))
    (row,) = exported(selection, "openai")
    assert row["tools"] == json.loads(TOOLS)
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert row["messages"][1:3] == [
        {"role": "assistant", "tool_calls": [call], "weight": 0},
        {"role": "tool", "content": "2", "tool_call_id": "x"},
    ]


def test_text_of_a_row_an_answer_learns_its_last(tmp_path: Path) -> None:
    """Data with a row an answer: sample 1 is the second answer of a conversation, with the first as context."""
    first = [("user", "a"), ("assistant", "A")]
    second = [*first, ("user", "b"), ("assistant", "B")]
    selection = write(tmp_path, whole() * 2, chat(*first), chat(*second, first=1))
    rows = exported(selection, "openai")
    assert [[m.get("weight") for m in row["messages"]] for row in rows] == [[None, 1], [None, 0, None, 1]]


def test_trl_has_prompt_and_completion(tmp_path: Path) -> None:
    selection = write(tmp_path, whole(), chat(("system", "s"), ("user", "a"), ("assistant", "A"), tools=TOOLS))
    export(selection, "trl", tmp_path / "out", as_text=True)
    assert json.loads((tmp_path / "out/train.jsonl").read_text()) == {
        "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
        "completion": [{"role": "assistant", "content": "A"}],
        "tools": json.loads(TOOLS),
    }


def test_trl_refuses_several_answers_as_text(tmp_path: Path) -> None:
    selection = write(tmp_path, whole(2), chat(("user", "a"), answer("A"), ("user", "b"), answer("B")))
    with refused(selection / "selection.parquet", "sample_id 0", "earlier answers", fix="ids"):
        export(selection, "trl", tmp_path / "out", as_text=True)


def factory(tmp_path: Path, samples: list[Kept], *conversations: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    export(write(tmp_path, samples, *conversations), "llamafactory", tmp_path / "out", as_text=True)
    rows = [json.loads(line) for line in (tmp_path / "out/data.jsonl").read_text().splitlines()]
    return rows, yaml.safe_load((tmp_path / "out/train.yaml").read_text())


def test_llamafactory_has_calls_as_their_own_role(tmp_path: Path) -> None:
    turns = [("user", "1?"), ("assistant", None, {"tool_calls": CALLS}), ("tool", "2")]
    (row,), config = factory(tmp_path, whole(), chat(("system", "s"), *turns, ("assistant", "two"), tools=TOOLS))
    assert row["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "1?"},
        {"role": "function_call", "content": '[{"name": "add", "arguments": {"a": 1}}]'},
        {"role": "tool", "content": "2"},
        {"role": "assistant", "content": "two"},
    ]
    assert json.loads(row["tools"]) == json.loads(TOOLS)
    assert config["mask_history"] is True


def test_llamafactory_learns_all_answers_where_all_are_kept(tmp_path: Path) -> None:
    turns = [("user", "a"), answer("A"), ("user", "b"), answer("B")]
    _, config = factory(tmp_path, whole(2), chat(*turns))
    assert config["mask_history"] is False


TWO = [("user", "a"), answer("A"), ("user", "b"), answer("B")]
UNREADABLE = {
    "some answers": ([whole()[0], Kept([1], [2, EOS], None, continues=True), *whole(2)[1:]],
                     [chat(*TWO, ("user", "c"), answer("C"))]),
    "the last of another": ([*whole(2), Kept([1], [2, EOS], None), *whole(2)[1:]], [chat(*TWO), chat(*TWO, first=2)]),
    "alternate": (whole(), [chat(("user", "a"), ("user", "b"), ("assistant", "A"))]),
    "reasoning": (whole(), [chat(("user", "a"), ("assistant", "A", {"reasoning_content": "hm"}))]),
    "beside a tool call": (whole(), [chat(("user", "a"), ("assistant", "text", {"tool_calls": CALLS}))]),
}  # fmt: skip


@pytest.mark.parametrize("words", UNREADABLE)
def test_llamafactory_refuses_text_that_it_would_skip_or_learn_otherwise(tmp_path: Path, words: str) -> None:
    samples, conversations = UNREADABLE[words]
    selection = write(tmp_path, samples, *conversations)
    with refused(selection / "selection.parquet", "sample_id", words, fix="ids"):
        export(selection, "llamafactory", tmp_path / "out", as_text=True)


def test_data_without_a_sample_of_the_scores_are_refused(tmp_path: Path) -> None:
    selection = write(tmp_path, whole() * 2, chat(("user", "a"), ("assistant", "A")))
    with refused(selection / "../scores/data.parquet", "sample_id 1", fix="score again"):
        export(selection, "openai", tmp_path / "out")


def test_many_rows_find_their_texts(tmp_path: Path) -> None:
    """More rows than a batch has, of which every third is kept."""
    samples = [Kept([1], [2, EOS], [0, 1] if i % 3 == 0 else None) for i in range(3000)]
    selection = write(tmp_path, samples, *(chat(("user", "a"), ("assistant", str(i)), first=i) for i in range(3000)))
    texts = [row["messages"][-1]["content"] for row in exported(selection, "openai")]
    assert texts == [str(i) for i in range(0, 3000, 3)]


def axolotl(tmp_path: Path, model: Path, text: str, kept: list[int], truncated: bool = False, **options: str) -> Any:
    """The export of one answer of which the positions `kept` are kept; ids and kept text, then rows and summary."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    prompt = tokenizer("Question: Why?\nAnswer:")["input_ids"]
    response = [*tokenizer(f" {text}")["input_ids"], tokenizer.eos_token_id]
    response = response[:4] if truncated else response
    positions = sorted({i % len(response) for i in kept})
    sample = Kept(prompt, response, positions, truncated)
    selection = write(tmp_path, [sample], chat(("user", "Why?"), ("assistant", text)))
    write_selection(selection, {0: sample}, options=options)
    shutil.copytree(model, tmp_path / "scores/tokenizer")
    summary = export(selection, "axolotl", tmp_path / "out", as_text=True)
    row = json.loads((tmp_path / "out/train.jsonl").read_text())
    expected = [tokenizer.decode([response[i]]) for i in positions[:-1]]
    return row["messages"][-1], expected, summary


def test_axolotl_has_the_characters_of_kept_tokens(tmp_path: Path, tiny_model: Path) -> None:
    message, expected, summary = axolotl(tmp_path, tiny_model, "Cats drink milk, and fish live.", [0, 3, 5, 6, -1])
    ranges = [(detail["begin_offset"], detail["end_offset"]) for detail in message["train_detail"]]
    assert all(detail["train"] for detail in message["train_detail"])
    assert "".join(message["content"][begin : end + 1] for begin, end in ranges) == "".join(expected).strip()
    assert all(second[0] > first[1] + 1 for first, second in pairwise(ranges))
    assert (summary.left_out, summary.limit) == ({"no_label": 0}, f"sequence_len: {summary.longest}")
    config = yaml.safe_load((tmp_path / "out/train.yaml").read_text())
    assert (config["eot_tokens"], config["datasets"][0]["train_on_eos"]) == (["<eos>"], "turn")


@pytest.mark.parametrize(
    ("reason", "text", "kept", "truncated"),
    [("only_end", "Cats drink.", [-1], False), ("cut_off", "Cats drink milk.", [0, 1], True)],
)
def test_axolotl_leaves_out_and_counts_what_text_cannot_show(
    tmp_path: Path, tiny_model: Path, reason: str, text: str, kept: list[int], truncated: bool
) -> None:
    with refused(tmp_path / "pruned/selection.parquet", "no row", reason):
        axolotl(tmp_path, tiny_model, text, kept, truncated)


def test_axolotl_refuses_text_without_the_end_that_it_would_learn(tmp_path: Path, tiny_model: Path) -> None:
    with refused(tmp_path / "pruned/selection.parquet", "sample_id 0", "the end of an answer", fix="token ids"):
        axolotl(tmp_path, tiny_model, "Cats drink milk.", [0, 1], end_token="drop")


def test_axolotl_has_the_characters_of_each_kept_answer(tmp_path: Path, tiny_model: Path) -> None:
    """A conversation of four answers: whole, context, its end alone, and its first two tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    prompt = tokenizer("Question: Why?\nAnswer:")["input_ids"]
    response = [*tokenizer(" Milk.")["input_ids"], tokenizer.eos_token_id]
    last = len(response) - 1
    kept = [list(range(last + 1)), None, [last], [0, 1, last]]
    samples = [Kept(prompt, response, positions, continues=turn > 0) for turn, positions in enumerate(kept)]
    selection = write(tmp_path, samples, chat(*[("user", "Why?"), answer("Milk.")] * 4))
    shutil.copytree(tiny_model, tmp_path / "scores/tokenizer")
    summary = export(selection, "axolotl", tmp_path / "out", as_text=True)
    messages = json.loads((tmp_path / "out/train.jsonl").read_text())["messages"]
    whole_end, part_end = 4, len(tokenizer.decode(response[:2]).strip()) - 1
    assert [message.get("train_detail") for message in messages[1::2]] == [
        [{"begin_offset": 0, "end_offset": whole_end, "train": True}],
        None,
        [],
        [{"begin_offset": 0, "end_offset": part_end, "train": True}],
    ]
    assert summary.left_out == {"no_label": 0, "only_end": 1}


def test_axolotl_keeps_a_cut_character_whole_or_counts_it(tmp_path: Path, tiny_model: Path) -> None:
    """A byte-level tokenizer splits é in two tokens, whose characters are the same one."""
    message, _, _ = axolotl(tmp_path, tiny_model, "é", [1, -1])
    assert message["train_detail"] == [{"begin_offset": 0, "end_offset": 0, "train": True}]
