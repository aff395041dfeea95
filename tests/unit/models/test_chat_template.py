"""Which chat template is used: its choice, its variables, its date, and one copy of it in a model's folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from prunegrid.experiment.model import Source
from prunegrid.models import describe, load_tokenizer, materialise, prepare_tokenizer, template_date
from prunegrid.models.chat_template import NAMED_TEMPLATES
from support.chat_templates import CHATML, FAMILIES, LLAMA3, QWEN3, byte_tokenizer
from support.errors import refused
from support.tiny_llama import write_tiny_model

SPECIAL = FAMILIES["chatml"].special
MESSAGES = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]


def write_folder(folder: Path, template: Any) -> Path:
    """A model's folder whose tokenizer has that template, or those by name."""
    write_tiny_model(folder, template=None)
    byte_tokenizer(template, SPECIAL).save_pretrained(folder)
    return folder


def text_of(tokenizer: Any, **options: Any) -> str:
    text: str = tokenizer.apply_chat_template(MESSAGES, tokenize=False, **options)
    return text


NAMED = {"default": CHATML, "tool_use": "T" + CHATML}


@pytest.mark.parametrize(
    ("own", "choice", "start"),
    [
        (CHATML, None, "<|im"),
        (CHATML, "Q" + CHATML, "Q<|im"),
        (CHATML, "default", "<|im"),
        (NAMED, None, "<|im"),
        (NAMED, "tool_use", "T<|im"),
        ({"only": CHATML}, None, "<|im"),
        (None, CHATML, "<|im"),
    ],
)
def test_template_by_text_or_name(tmp_path: Path, own: Any, choice: str | None, start: str) -> None:
    tokenizer = prepare_tokenizer(write_folder(tmp_path / "m", own), choice)
    assert isinstance(tokenizer.chat_template, str)
    assert text_of(tokenizer).startswith(start)


def test_template_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("\u00e9" + CHATML, encoding="utf-8")
    assert text_of(prepare_tokenizer(write_folder(tmp_path / "m", None), str(file))).startswith("\u00e9<|im")


@pytest.mark.parametrize(
    ("own", "choice", "values"),
    [
        (None, None, ["no chat template"]),
        (CHATML, "chatml", ["'chatml'", "neither Jinja nor a file", "default"]),
        (NAMED, "tools", ["'tools'", "default, tool_use"]),
        (CHATML, "templates/chatml.jinja", ["templates/chatml.jinja"]),
        (None, "chatml", ["a template of the tokenizer, which has none"]),
        ({"a": CHATML, "b": CHATML}, None, ["several chat templates: a, b"]),
        (CHATML, "{% for m in messages %}", ["TemplateSyntaxError", "endfor"]),
        (CHATML, "{{ messages | nosuch }}", ["nosuch"]),
        (CHATML, "{{ messages.x.y }}", ["UndefinedError"]),
        (CHATML, "{{ messages[0].content }}", ["what the assistant says"]),
        (CHATML, "{{ '' }}", ["what the user says"]),
        (CHATML, "x" * 5000, ["neither Jinja"]),
        (CHATML, ".", ["neither Jinja", "directory"]),
    ],
)
def test_template_that_is_none_is_refused(tmp_path: Path, own: Any, choice: str | None, values: list[str]) -> None:
    folder = write_folder(tmp_path / "m", own)
    with refused(folder, *values, fix="--chat-template") as caught:
        prepare_tokenizer(folder, choice)
    assert len(str(caught.value).splitlines()) == 1


def test_template_that_refuses_the_probe_is_left_to_the_rows(tmp_path: Path) -> None:
    prepare_tokenizer(write_folder(tmp_path / "m", "{{ raise_exception('a system turn, please') }}"))


VALUES = ['say "hi" {% x %} \\ \n \u00e9\U0001f600', 3, -0.5, True, None, ["a", [1, {}]], {"k": {"m": False}}]


@pytest.mark.parametrize("value", VALUES)
def test_variable_has_the_value_that_was_given(tmp_path: Path, value: Any) -> None:
    template = CHATML + "{{ mine | tojson }}"
    tokenizer = prepare_tokenizer(write_folder(tmp_path / "m", template), None, {"mine": value})
    end = text_of(tokenizer).rpartition("<|im_end|>\n")[2]
    assert json.loads(end) == value
    tokenizer.save_pretrained(tmp_path / "m")
    assert load_tokenizer(tmp_path / "m").chat_template == tokenizer.chat_template


def test_thinking_switch_is_part_of_the_template(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", QWEN3)
    plain, switched = (prepare_tokenizer(folder, None, values) for values in ({}, {"enable_thinking": False}))
    ends = [text_of(tokenizer, add_generation_prompt=True)[-21:] for tokenizer in (plain, switched)]
    assert "</think>" not in ends[0] and ends[1].endswith("</think>\n\n")
    assert switched.chat_template == "{%- set enable_thinking = false -%}\n" + QWEN3


@pytest.mark.parametrize(
    ("variables", "values"),
    [
        ({"enable_thinkin": False}, ["enable_thinkin"]),
        ({"messages": []}, ["'messages'"]),
        ({"a b": 1}, ["'a b'"]),
        ({"enable_thinking": object}, ["object"]),
    ],
)
def test_variable_that_cannot_be_set_is_refused(tmp_path: Path, variables: dict[str, Any], values: list[str]) -> None:
    folder = write_folder(tmp_path / "m", QWEN3)
    with refused(folder, *values, fix="--chat-template-kwargs"):
        prepare_tokenizer(folder, None, variables)
    with refused("models.m", *values, fix="models.m.chat_template_kwargs"):
        prepare_tokenizer(folder, None, variables, "models.m", "models.m.chat_template")


def test_date_is_the_same_on_any_day(tmp_path: Path) -> None:
    tokenizer = prepare_tokenizer(write_folder(tmp_path / "m", LLAMA3))
    assert "Today Date: 26 Jul 2024\n" in text_of(tokenizer)
    assert template_date(tokenizer) == "26 Jul 2024"
    assert template_date(byte_tokenizer(CHATML, SPECIAL)) is None
    tokenizer.save_pretrained(tmp_path / "m")
    assert prepare_tokenizer(tmp_path / "m").chat_template == tokenizer.chat_template, "set once"


@pytest.mark.parametrize(
    ("form", "date"),
    [("%Y-%m-%d", "2024-07-26"), ("%A, %d %B %y", "Friday, 26 July 24"), ("%a %H:%M:%S %I %p", "Fri 00:00:00 12 AM")],
)
def test_date_in_any_format(tmp_path: Path, form: str, date: str) -> None:
    template = f"{{% if strftime_now is defined %}}{{{{ strftime_now('{form}') }}}}{{% endif %}}|{CHATML}"
    assert text_of(prepare_tokenizer(write_folder(tmp_path / "m", template))).startswith(f"{date}|")


def test_tokenizer_without_an_end_of_sequence_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", CHATML)
    tokenizer = byte_tokenizer(CHATML, SPECIAL)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    with refused(folder, "no end-of-sequence token", fix="eos_token"):
        prepare_tokenizer(folder)


@pytest.mark.parametrize(
    ("keys", "start"),
    [({}, "<|im"), ({"chat_template": "tool_use"}, "T<|im"), ({"chat_template": "N" + CHATML}, "N<|im")],
)
def test_model_of_a_run_has_one_template(tmp_path: Path, keys: dict[str, Any], start: str) -> None:
    source = write_folder(tmp_path / "m", NAMED)
    assert (source / NAMED_TEMPLATES).is_dir()
    materialise("m", Source(path=str(source), **keys), tmp_path / "out", tmp_path / "out.json")
    tokenizer = load_tokenizer(tmp_path / "out")
    assert text_of(tokenizer).startswith(start)
    assert isinstance(tokenizer.chat_template, str)
    assert not (tmp_path / "out" / NAMED_TEMPLATES).exists()
    assert describe(tmp_path / "out")["digests"] == json.loads((tmp_path / "out.json").read_text())["digests"]


def test_model_of_a_run_with_a_template_by_no_name_is_refused(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "m", CHATML)
    with refused("models.m", "'chatml'", fix="models.m.chat_template"):
        materialise("m", Source(path=str(source), chat_template="chatml"), tmp_path / "out", tmp_path / "out.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
