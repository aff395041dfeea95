"""Templates, tokenizers and models that cannot read the data: each ends `prunegrid score` with one line."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prunegrid.cli import app
from prunegrid.models import load_tokenizer
from support.chat_templates import CHATML, DEEPSEEK, GEMMA, byte_tokenizer

USER = {"role": "user", "content": "What is 17+25?"}
ANSWER = {"role": "assistant", "content": "42"}
THOUGHT = {"role": "assistant", "content": "<think>\n17 plus 25 is 42.\n</think>\n\n42"}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 17}}}]}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
WITHOUT_SYSTEM = CHATML.replace("in messages %}", "in messages if m.role != 'system' %}")
STRIPPING = DEEPSEEK.replace("m.content }}{{ eos", "m.content.split('</think>')[-1] }}{{ eos")


class Bad(NamedTuple):
    """A template, the messages of the second row, and what the line says."""

    template: str
    messages: list[dict[str, Any]]
    values: tuple[str, ...]
    fix: str = "give another chat template"
    tools: Any = None


ROWS = {
    "no system turn": Bad(WITHOUT_SYSTEM, [SYSTEM, USER, ANSWER], ("the system 'Be brief.' of message 1",)),
    "system refused": Bad(GEMMA, [SYSTEM, USER, ANSWER], ("System role not supported",), "change the row"),
    "roles that must alternate": Bad(
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}<|{{ m.role }}|>{{ m.content }}{% endfor %}",
        [USER, USER, ANSWER],
        ("roles must alternate",),
        "--on-bad-row skip",
    ),
    "no thinking": Bad(STRIPPING, [USER, THOUGHT], ("the reasoning '17 plus 25 is 42.' of message 2",)),
    "no reasoning": Bad(CHATML, [USER, {**ANSWER, "reasoning_content": "17 and 25"}], ("reasoning '17 and 25'",)),
    "no tool calls": Bad(CHATML, [USER, CALL], ("the tool call 'add' of message 2",)),
    "no tools": Bad(CHATML, [USER, ANSWER], ("tools",), "ignore the field tools", TOOLS),
    "answers cut short": Bad(
        CHATML.replace("m.content", "m.content[:14]"), [USER, {**ANSWER, "content": "42 " * 9}], ("the assistant",)
    ),
    "turns that change": Bad(
        "{{ messages | length }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}",
        [USER, ANSWER],
        ("changes earlier turns",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_template_that_does_not_fit_a_row_names_it(tmp_path: Path, tiny_model: Path, name: str) -> None:
    bad = ROWS[name]
    rows = [{"messages": [USER | {"content": "q"}, ANSWER]}, {"messages": bad.messages, "tools": bad.tools}]
    if name == "turns that change":  # as the good row's would
        rows = rows[1:]
    line = score(tmp_path, tiny_model, rows, "--chat-template", bad.template)
    assert line.startswith(f"prunegrid score: {tmp_path / 'data.jsonl'}:{len(rows)}: the chat template"), line
    assert bad.fix in line, line
    assert all(value in line for value in bad.values), line


def test_tokenizer_without_an_end_of_sequence_is_named(tmp_path: Path, tiny_model: Path) -> None:
    folder = copy_of(tiny_model, tmp_path / "m")
    tokenizer = load_tokenizer(folder)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    line = score(tmp_path, folder, [{"messages": [USER, ANSWER]}])
    assert line.startswith(f"prunegrid score: {folder}: its tokenizer has no end-of-sequence token; "), line


def test_tokens_without_an_embedding_are_named(tmp_path: Path, tiny_model: Path) -> None:
    folder = copy_of(tiny_model, tmp_path / "m")
    tokenizer = load_tokenizer(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.save_pretrained(folder)
    line = score(tmp_path, folder, [{"messages": [USER, ANSWER]}], "--chat-template", CHATML)
    assert line.startswith(f"prunegrid score: {folder}: has embeddings of "), line
    assert "1 of 1 samples hold tokens" in line and "'<|im_start|>', '<|im_end|>'" in line, line
    assert "resize_token_embeddings" in line, line


def test_named_templates_without_a_default_are_named(tmp_path: Path, tiny_model: Path) -> None:
    folder = copy_of(tiny_model, tmp_path / "m")
    (folder / "chat_template.jinja").unlink()
    byte_tokenizer({"chat": CHATML, "rag": CHATML}, ("<eos>",)).save_pretrained(folder)
    line = score(tmp_path, folder, [{"messages": [USER, ANSWER]}])
    assert "several chat templates: chat, rag; choose with --chat-template" in line, line


def copy_of(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder))


def score(folder: Path, model: Path, rows: list[dict[str, Any]], *options: str) -> str:
    """The one line that `prunegrid score` ends with; it leaves no scores."""
    data, out = folder / "data.jsonl", folder / "out"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SystemExit) as caught:
        app.main(["score", "--model", str(model), "--data", str(data), "--out", str(out), *options])
    assert isinstance(caught.value.code, str), caught.value.code
    assert len(caught.value.code.splitlines()) == 1, caught.value.code
    assert not out.exists()
    return caught.value.code
