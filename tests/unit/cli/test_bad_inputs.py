"""Bad inputs, one a line: each command ends with one line that names place, value and fix, and writes nothing."""

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prunegrid.cli import app
from support.toy_experiment import toy_config


class Bad(NamedTuple):
    """A file `name` with `content`, read by `prunegrid score` with `options`.

    The line that the command ends with names `place` (behind the file's name: a row), each of `values`, and `fix`.
    """

    content: Any
    place: str
    values: tuple[str, ...]
    fix: str
    options: tuple[str, ...] = ()
    name: str = "data.jsonl"


SKIP = "--on-bad-row skip"
SKIP_KEY = "on_bad_row: skip"
USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
PAIR = {"prompt": "q", "response": "a"}


def call(**function: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": function}]}]}


def said(content: Any, **keys: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content, **keys}, ANSWER]}


def answered(**keys: Any) -> dict[str, Any]:
    return {"messages": [USER, {**ANSWER, **keys}]}


# A dict is a row of JSON lines; the good row before it shows that rows are counted.
ROWS = {
    "no known field": Bad({"problem": "q", "solution": "a"}, ":2", ("problem, solution",), "--field prompt=NAME"),
    "no answer field": Bad({"prompt": "q"}, ":2", ("fields prompt",), "--field response"),
    "no field at all": Bad({}, ":2", ("fields none",), "dataset.fields"),
    "null messages only": Bad({"messages": None}, ":2", ("null in messages",), "fill it in"),
    "text only": Bad({"text": "### Q: q ### A: a"}, ":2", ("one field, text",), "split it"),
    "preferences": Bad({"prompt": "q", "chosen": "a", "rejected": "b"}, ":2", ("preferences",), "response=chosen"),
    "conversational preferences": Bad(
        {"chosen": [USER, ANSWER], "rejected": [USER, ANSWER]}, ":2", ("preferences",), "messages=chosen"
    ),
    "number as prompt": Bad({"prompt": 12, "response": "x"}, ":2", ("prompt is 12, a number",), SKIP),
    "number as response": Bad({"prompt": "q", "response": 4.5}, ":2", ("response is 4.5, a number",), SKIP),
    "truth value as output": Bad({"instruction": "q", "output": True}, ":2", ("output is true",), SKIP),
    "object as answer": Bad(
        {"question": "q", "answer": {"value": "Onion"}}, ":2", ("answer is", "Onion", "an object"), "make it a string"
    ),
    "number as input": Bad({"instruction": "q", "input": 7, "output": "a"}, ":2", ("input is 7",), SKIP),
    "list of lists as response": Bad({"prompt": "q", "response": [["a"]]}, ":2", ("response[0]",), SKIP),
    "variants of an answer": Bad({"question": "q", "answer": ["a", "b"]}, ":2", ("answer is", "of texts"), SKIP),
    "variants of a prompt": Bad({"prompt": ["q", "p"], "response": "a"}, ":2", ("prompt is", "of texts"), SKIP),
    "system that is no text": Bad({**PAIR, "system": {"a": 1}}, ":2", ("system is",), "make it a string"),
    "history of single texts": Bad({**PAIR, "history": [["q"]]}, ":2", ("history[0]", "pair"), "[prompt, response]"),
    "history of numbers": Bad({**PAIR, "history": [[1, 2]]}, ":2", ("history[0]",), SKIP),
    "history that is no JSON": Bad({**PAIR, "history": "[[q"}, ":2", ("history", "not JSON"), SKIP),
    "messages that are no JSON": Bad({"messages": "[{'role'"}, ":2", ("messages", "not JSON"), SKIP),
    "messages as an object": Bad({"messages": USER}, ":2", ("messages is", "not a list"), "make it a list"),
    "messages as a number": Bad({"messages": 3}, ":2", ("messages is 3",), SKIP),
    "message that is a number": Bad({"messages": [USER, 3]}, ":2", ("messages[1] is 3",), SKIP),
    "null message": Bad({"messages": [USER, None]}, ":2", ("messages[1] is null",), SKIP),
    "unknown role": Bad({"messages": [{"role": "narrator", "content": "x"}]}, ":2", ("'narrator'", "known:"), "rename"),
    "null role": Bad({"messages": [{"role": None, "content": "x"}]}, ":2", ("messages[0] has no role",), SKIP),
    "no role": Bad({"messages": [{"content": "x"}]}, ":2", ("messages[0] has no role", "content"), "add it"),
    "number as role": Bad({"messages": [{"role": 1, "content": "x"}]}, ":2", ("messages[0].role is 1",), SKIP),
    "unknown speaker": Bad({"conversations": [{"from": "alien", "value": "x"}]}, ":2", ("'alien'",), "rename"),
    "null content": Bad(said(None), ":2", ("messages[0] (user) has no content",), SKIP),
    "no content": Bad({"messages": [{"role": "user"}, ANSWER]}, ":2", ("(user) has no content",), SKIP),
    "number as content": Bad(said(5), ":2", ("messages[0].content is 5, a number",), "make it a string"),
    "number as value": Bad({"conversations": [{"from": "human", "value": 5}]}, ":2", ("value is 5",), SKIP),
    "image part": Bad(
        said([{"type": "image_url", "image_url": {"url": "x"}}]), ":2", ("content[0] is of type 'image_url'",), "remove"
    ),
    "audio part": Bad(said([{"type": "input_audio", "data": "x"}]), ":2", ("'input_audio'",), SKIP),
    "part that is a number": Bad(said([3]), ":2", ("messages[0].content[0] is 3",), SKIP),
    "part with an unread text": Bad(
        said([{"type": "text", "text": "q", "tone": "angry"}]), ":2", ("messages.content.tone",), "--ignore"
    ),
    "weight between 0 and 1": Bad(answered(weight=0.5), ":2", ("messages[1].weight is 0.5",), "give 0 or 1"),
    "train as text": Bad(answered(train="yes"), ":2", ("messages[1].train is", "yes"), "give 0 or 1"),
    "weight of a row between 0 and 1": Bad({**PAIR, "weight": 0.5}, ":2", ("weight is 0.5",), "--ignore weight"),
    "answer to avoid": Bad({**PAIR, "label": False}, ":2", ("label is false", "avoid"), "--ignore label"),
    "spans of an answer": Bad(
        answered(train_detail=[{"begin_offset": 0, "end_offset": 0, "train": False}]), ":2", ("train_detail",), SKIP
    ),
    "part that is not learned": Bad(
        {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "a", "train": False}]}]},
        ":2",
        ("messages[1].content[0]",),
        "split the message",
    ),
    "half a character": Bad({**PAIR, "response": "a \ud83d"}, ":2", ("half a character",), SKIP),
    "calls that are no list": Bad(answered(tool_calls={"a": 1}), ":2", ("tool_calls is", "not a list"), SKIP),
    "call that is a number": Bad(answered(tool_calls=[1]), ":2", ("tool_calls[0] is 1",), SKIP),
    "call without a name": Bad(call(arguments={}), ":2", ("tool_calls[0]", "name of a function"), "give the name"),
    "arguments that are no JSON": Bad(call(name="w", arguments="{city"), ":2", ("arguments", "{city"), "correct"),
    "arguments as a list": Bad(call(name="w", arguments=[1]), ":2", ("arguments [1]",), "correct the arguments"),
    "tools that are no JSON": Bad({**PAIR, "tools": "search"}, ":2", ("tools", "not JSON"), "JSON"),
    "tools as an object": Bad({**PAIR, "tools": {"name": "f"}}, ":2", ("tools is", "not a list"), SKIP),
    "tool that is a text": Bad({**PAIR, "tools": ["search"]}, ":2", ("tools[0] is", "search"), SKIP),
    "two system texts": Bad(
        {"system": "A.", "messages": [{"role": "system", "content": "B."}, USER, ANSWER]}, ":2", ("system",), "--ignore"
    ),
    "exchange with a number": Bad(
        {"conversation": [{"input": "q", "output": 3}]}, ":2", ("conversation[0].output is 3",), "make it a string"
    ),
    "unread rationale": Bad({**PAIR, "rationale": "because"}, ":2", ("rationale holds text", "because"), "--ignore"),
    "unread fields": Bad({**PAIR, "hint": "h", "notes": ["n"]}, ":2", ("hint, notes hold text",), "hint,notes"),
    "unread key of a message": Bad(answered(mood="angry"), ":2", ("messages.mood", "angry"), "messages.mood"),
    "unread text, rows skipped": Bad(
        {**PAIR, "persona": "a pirate"}, ":2", ("persona",), "dataset.ignore", ("--on-bad-row", "skip")
    ),
    "field that the row lacks": Bad(
        {"problem": "q", "response": "a"},
        ":1",
        ("no field problem", "fields.prompt"),
        "",
        ("--field", "prompt=problem"),
    ),
}
FILES = {
    "no file": Bad(None, "", ("no such file",), "correct the path"),
    "empty file": Bad("", "", ("holds no rows",), "at least one"),
    "blank lines": Bad("\n\n", "", ("holds no rows",), "at least one"),
    "bad JSON": Bad('{"prompt": "q", "resp', ":1", ("JSON",), ""),
    "bad JSON in a later row": Bad(f"{json.dumps(PAIR)}\n{{'prompt': 1}}\n", ":2", ("JSON",), "skip"),
    "rows that are lists": Bad('["q", "a"]\n["q", "a"]\n', "", ("not an object",), ""),
    "not UTF-8": Bad(b'{"prompt": "\xff", "response": "a"}\n', "", ("UTF-8",), "UTF-8"),
    "Parquet that is none": Bad(b"PAR1 and nothing more", "", ("Parquet",), "", name="data.parquet"),
    "array cut short": Bad('[{"prompt": "q",\n"response": "a"},\n', ":3", ("not JSON", "ends"), "jq -c"),
    "array without a comma": Bad(
        '[{"prompt": "q", "response": "a"}\n{"prompt": "q"}]', ":2", ("not JSON", "expecting ,"), "correct"
    ),
    "array of texts": Bad('["q", "a"]', ": row 1", ("a str, not an object",), SKIP_KEY),
    "two lists in an object": Bad(json.dumps({"data": [PAIR], "dev": [PAIR]}), "", ("data, dev",), "jq -c '.data[]'"),
    "object of columns": Bad('{"prompt": ["q"], "response": ["a"]}', "", ("columns (prompt, response)",), "lines=True"),
    "columns of pandas": Bad('{"prompt": {"0": "q"}, "response": {"0": "a"}}', "", ("columns",), 'orient="records"'),
    "line that a comma ends": Bad(
        f"{json.dumps(PAIR)},\n{json.dumps(PAIR)}\n", ":1", ("Extra data",), "one JSON object"
    ),
    "UTF-16": Bad(json.dumps(PAIR).encode("utf-16"), "", ("UTF-16",), "iconv"),
    "zero bytes": Bad(b'{"prompt": "\x00\x00\x00\x00"}', "", ("zero bytes",), "Parquet"),
    "prose": Bad("Once upon a time\n", "", ("Once upon",), "JSON lines", name="data.txt"),
    "zip archive": Bad(b"PK\x03\x04 and so on", "", ("zip archive",), "unpack"),
    "pickle": Bad(b"\x80\x04 and so on", "", ("pickle",), "JSON lines"),
    "pointer of Git LFS": Bad("version https://git-lfs.github.com/spec/v1\noid", "", ("Git LFS",), "git lfs pull"),
    "gzip cut short": Bad(gzip.compress(json.dumps(PAIR).encode() * 9)[:-9], "", ("damaged", "gzip"), "fetch"),
    "zstd that is none": Bad(b"\x28\xb5\x2f\xfd and nothing more", "", ("damaged", "zstd"), "fetch"),
    "CSV with a field too many": Bad(
        "prompt,response\nq,a\nq,a,b\n", ": row 2", ("3 fields",), "quote", name="data.csv"
    ),
    "CSV with an open quote": Bad('prompt,response\n"q,a\n', ": row 1", ("not CSV",), "quote", name="data.csv"),
    "CSV with a name twice": Bad("prompt,prompt\nq,a\n", "", ("prompt more than once",), "rename", name="data.csv"),
    "CSV without rows": Bad("prompt,response\n", "", ("holds no rows",), "at least one", name="data.csv"),
    "CSV without a header": Bad("What?,That.\nWho?,They.\n", ": row 1", ("That., What?",), "--field", name="data.csv"),
    "Arrow cut short": Bad(b"\xff\xff\xff\xff\x10\x00\x00\x00", "", ("damaged", "Arrow stream"), "fetch"),
    "no row with an answer": Bad('{"messages": []}\n', "", ("no sample is left of 1 rows", "'no_answer': 1"), "prompt"),
    "empty responses only": Bad('{"prompt": "q", "response": ""}\n', "", ("'empty_response': 1",), "response"),
    "bad rows only": Bad(
        '{"prompt": 1, "response": "a"}\n', "", ("'bad_row': 1", "prompt is 1"), "", ("--on-bad-row", "skip")
    ),
    "no context but only answers": Bad(
        json.dumps({"messages": [ANSWER]}) + "\n", "", ("'empty_prompt': 1",), "prompt and a response"
    ),
    "answers that are context": Bad(
        json.dumps({"messages": [USER, {**ANSWER, "train": False}]}) + "\n", "", ("'not_trained': 1",), ""
    ),
}


@pytest.mark.parametrize("name", [*ROWS, *FILES])
def test_score_of_bad_data_is_one_line_and_writes_nothing(tmp_path: Path, tiny_model: Path, name: str) -> None:
    bad = ROWS.get(name) or FILES[name]
    data, out = tmp_path / bad.name, tmp_path / "out"
    content = bad.content
    if isinstance(content, dict):
        content = f"{json.dumps(PAIR)}\n{json.dumps(content)}\n"
    if content is not None:
        data.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused("score", "--model", str(tiny_model), "--data", str(data), "--out", str(out), *bad.options)
    problem, _, fix = line.partition("; ")
    assert problem.startswith(f"prunegrid score: {data}{bad.place}"), line
    assert all(value in line for value in bad.values), line
    assert fix, line
    assert bad.fix in line, line
    assert sorted(file.name for file in tmp_path.iterdir()) == ([] if content is None else [bad.name])


# Folders by the names of their files, each of one row, and what is asked of them.
FOLDERS: dict[str, tuple[list[str], tuple[str, ...], str, tuple[str, ...], str]] = {
    "empty folder": ([], (), "", ("holds no data files",), ".jsonl"),
    "folder of other files": (["README.md", "notes.txt"], (), "", ("no data files", "README.md, notes.txt"), "glob"),
    "folder of another split": (["test.jsonl", "dev.jsonl"], (), "", ("split train", "test, validation"), "split"),
    "split that is not there": (["train.jsonl"], ("--split", "test"), "", ("split test", "train"), "split"),
    "glob without files": (["a.jsonl"], (), "/*.csv", ("matches no file",), "glob"),
    "cache of the hub": (["blobs/0", "snapshots/1/train.jsonl"], (), "", ("cache",), "snapshots"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_score_of_a_bad_folder_is_one_line_and_writes_nothing(tmp_path: Path, tiny_model: Path, name: str) -> None:
    files, options, pattern, values, fix = FOLDERS[name]
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(PAIR))
    data, out = f"{folder}{pattern}", str(tmp_path / "out")
    line = refused("score", "--model", str(tiny_model), "--data", data, "--out", out, *options)
    assert line.startswith(f"prunegrid score: {data}: "), line
    assert all(value in line for value in (*values, fix)), line
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# Options of commands, with what the line must name.
OPTIONS = {
    "--field without a name": (("score", "--field", "prompt"), ("--field prompt", "NAME=VALUE", "--field prompt=NAME")),
    "--field of no role": (("score", "--field", "promt=q"), ("promt", "'system', 'prompt', 'response' or 'messages'")),
    "--turns of no kind": (("score", "--turns", "first"), ("--turns", "'first'", "'each', 'last', 'all'")),
    "--on-bad-row of no kind": (("score", "--on-bad-row", "drop"), ("--on-bad-row", "'drop'", "'error', 'skip'")),
    "--max-length too small": (("score", "--max-length", "2"), ("--max-length", "2 is too small", "at least 8")),
    "--shards of none": (("score", "--shards", "0"), ("--shards", "0 is too small", "at least 1")),
    "data named twice": (("score", "other.jsonl"), ("--data", "other.jsonl", "once")),
    "model that is nowhere": (("score", "--model", "nowhere"), ("nowhere", "no such folder", "save_pretrained")),
    "GPU that is not there": (("score", "--devices", "97"), ("devices 97", "there is no GPU 97", "cpu")),
    "CPU beside a GPU": (("score", "--devices", "cpu,0"), ("devices cpu,0", "two precisions", "ids of GPUs")),
    "template without a name": (
        ("score", "--chat-template", "qwen"),
        ("'qwen'", "neither Jinja nor a file", "--chat-template"),
    ),
    "template that is not Jinja": (("score", "--chat-template", "{% if"), ("chat template fails", "--chat-template")),
    "template without the answer": (
        ("score", "--chat-template", "{{ messages[0].content }}"),
        ("what the assistant says", "--chat-template"),
    ),
    "variables that are not JSON": (
        ("score", "--chat-template-kwargs", "thinking=0"),
        ("--chat-template-kwargs", "is not JSON", "an object"),
    ),
    "variables in a list": (
        ("score", "--chat-template-kwargs", "[1]"),
        ("--chat-template-kwargs", "[1], not an object", '{"name": value}'),
    ),
    "variable that the template does not read": (
        ("score", "--chat-template-kwargs", '{"enable_thinking": false}'),
        ("no variable enable_thinking", "--chat-template-kwargs"),
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options_are_named_and_nothing_is_written(tmp_path: Path, tiny_model: Path, name: str, capsys: Any) -> None:
    (command, *options), values = OPTIONS[name]
    (tmp_path / "data.jsonl").write_text(json.dumps(PAIR))
    given = ("--model", str(tiny_model), "--data", str(tmp_path / "data.jsonl"), "--out", str(tmp_path / "out"))
    with pytest.raises(SystemExit) as caught:
        app.main([command, *given, *options])
    line = caught.value.code if isinstance(caught.value.code, str) else capsys.readouterr().err.splitlines()[-1]
    assert caught.value.code not in (0, None)
    assert all(value in line for value in values), line
    assert [file.name for file in tmp_path.iterdir()] == ["data.jsonl"]


# Keys of `dataset` in a config file.
KEYS = {
    "turns": ({"turns": "first"}, "dataset.turns", ("'first'", "'each', 'last' or 'all'")),
    "fields": ({"fields": {"promt": "q"}}, "dataset.fields.promt", ("'promt'", "'system', 'prompt', 'response'")),
    "fields as a list": ({"fields": ["q"]}, "dataset.fields", ("['q']", "dictionary")),
    "field that is no name": ({"fields": {"prompt": 3}}, "dataset.fields.prompt", ("is 3", "string")),
    "ignore": ({"ignore": "notes"}, "dataset.ignore", ("'notes'", "list")),
    "on_bad_row": ({"on_bad_row": "drop"}, "dataset.on_bad_row", ("'drop'", "'error' or 'skip'")),
    "carry of a column that is there": ({"carry": ["messages"]}, "dataset", ("carry names messages", "leave it out")),
    "max_samples": ({"max_samples": 0}, "dataset.max_samples", ("is 0", "greater than or equal to 1")),
    "misspelt key": ({"on_bad_rows": "skip"}, "dataset.on_bad_rows", ("is not a key", "did you mean on_bad_row?")),
    "hub and path": ({"hub": "org/set"}, "dataset", ("either hub or path",)),
    "no source": ({"path": None}, "dataset", ("either hub or path",)),
    "sha256": ({"sha256": "abc"}, "dataset.sha256", ("'abc'", "pattern")),
}


@pytest.mark.parametrize("name", KEYS)
def test_bad_keys_of_a_config_are_named(tmp_path: Path, name: str) -> None:
    values, key, problems = KEYS[name]
    config = toy_config(tmp_path)
    config["dataset"] |= values
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config))
    files = sorted(path.name for path in tmp_path.iterdir())
    line = refused("plan", str(file))
    assert line.startswith(f"prunegrid plan: {file}: {key}: "), line
    assert all(problem in line for problem in problems), line
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def refused(*arguments: str) -> str:
    """The one line of a command that must end with exit code 1 (a `str` exit code is printed and means 1)."""
    with pytest.raises(SystemExit) as caught:
        app.main(arguments)
    assert isinstance(caught.value.code, str), caught.value.code
    assert len(caught.value.code.splitlines()) == 1, caught.value.code
    return caught.value.code
