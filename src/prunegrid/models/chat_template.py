"""The chat template that scoring, training, evaluation and a user's server render with: one text, saved in one place.

A choice (Jinja, a file, or the name of one of the tokenizer's own) becomes that text. The variables that a user sets
and the date are written into it, so that every program which reads the tokenizer renders alike.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.models.load import load_tokenizer

TEMPLATE_DATE = "26 Jul 2024"
"""The date of a template that asks for one: what Llama 3's writes where it cannot ask."""
DATE_FORMATS = {
    "%d": "26",
    "%b": "Jul",
    "%B": "July",
    "%m": "07",
    "%Y": "2024",
    "%y": "24",
    "%a": "Fri",
    "%A": "Friday",
}
TIME_FORMATS = {"%H": "00", "%I": "12", "%M": "00", "%S": "00", "%p": "AM"}
ASKS_DATE = "strftime_now"
RESERVED = ("messages", "tools", "documents", "add_generation_prompt", ASKS_DATE)
NAMED_TEMPLATES = "additional_chat_templates"  # a folder beside the tokenizer
PROBE = [{"role": "user", "content": "First probe?"}, {"role": "assistant", "content": "Second probe."}]


def prepare_tokenizer(
    folder: Path,
    chat_template: str | None = None,
    variables: Mapping[str, Any] | None = None,
    where: object = None,
    key: str = "--chat-template",
) -> Any:
    """The tokenizer in `folder` with the one chat template that is used, as a text; nothing is written.

    `chat_template`: Jinja, a file, or the name of one of the tokenizer's own; without it the tokenizer's `default`.
    `variables` are set in front of it. An error names `where`, by default the folder, and the config's key or the
    option `key`. Raises `PrunegridError` if there is no such template, or it does not write what messages say.
    """
    tokenizer, where = load_tokenizer(folder), folder if where is None else where
    template = _chosen(tokenizer.chat_template, chat_template, where, key)
    tokenizer.chat_template = with_fixed_date(_with_variables(template, variables or {}, where, key))
    if tokenizer.eos_token_id is None:
        raise PrunegridError(where, "its tokenizer has no end-of-sequence token", "set its eos_token and save it")
    if not tokenizer.is_fast:
        problem = f"its tokenizer ({type(tokenizer).__name__}) does not give the positions of its tokens in a text"
        raise PrunegridError(where, problem, "save a fast one there (tokenizer.json)")
    _check(tokenizer, where, key)
    return tokenizer


def template_date(tokenizer: Any) -> str | None:
    """The date that the tokenizer's template writes, if it asks for one."""
    return TEMPLATE_DATE if ASKS_DATE in str(tokenizer.chat_template) else None


def _chosen(present: str | dict[str, str] | None, choice: str | None, where: object, key: str) -> str:
    """The text of the chosen template; `present` is what the tokenizer brings: one template, or several by name."""
    named = {} if present is None else {"default": present} if isinstance(present, str) else present
    if choice is None:
        if not named:
            raise PrunegridError(where, "its tokenizer has no chat template", f"give one with {key} (Jinja, or a file)")
        if "default" not in named and len(named) > 1:
            raise PrunegridError(
                where, f"its tokenizer has several chat templates: {_names(named)}", f"choose with {key}"
            )
        return named.get("default", next(iter(named.values())))
    if choice in named:
        return named[choice]
    if "{{" in choice or "{%" in choice:
        return choice
    return _read(choice, named, where, key)


def _read(choice: str, named: Mapping[str, str], where: object, key: str) -> str:
    """The template in the file `choice`."""
    try:
        return Path(choice).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = "" if isinstance(error, FileNotFoundError) or len(choice) > 200 else f" ({first_line(error)})"
        names = f"the tokenizer's own: {_names(named)}" if named else "a template of the tokenizer, which has none"
        problem = f"the chat template {choice[:80]!r} is neither Jinja nor a file{reason}, nor {names}"
        raise PrunegridError(where, problem, f"correct {key}") from None


def _names(named: Mapping[str, str]) -> str:
    return ", ".join(sorted(named))


def _with_variables(template: str, variables: Mapping[str, Any], where: object, key: str) -> str:
    """The template with the variables set in front of it."""
    for name in variables:
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or name in RESERVED:
            raise PrunegridError(where, f"{name!r} cannot be a variable of a chat template", f"correct {_kwargs(key)}")
        if not re.search(rf"\b{name}\b", template):
            problem = f"its chat template reads no variable {name}, so {name} would change nothing"
            raise PrunegridError(where, problem, f"correct {_kwargs(key)}, or leave it out")
    lines = (f"{{%- set {name} = {_literal(value, where, key)} -%}}\n" for name, value in variables.items())
    return "".join(lines) + template


def _kwargs(key: str) -> str:
    """The key or option beside `key` that gives the variables."""
    return f"{key}-kwargs" if key.startswith("--") else f"{key}_kwargs"


def _literal(value: Any, where: object, key: str) -> str:
    """The value as Jinja writes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item, where, key) for item in value)}]"
    if isinstance(value, Mapping):
        items = (f"{json.dumps(str(name))}: {_literal(item, where, key)}" for name, item in value.items())
        return f"{{{', '.join(items)}}}"
    problem = f"{value!r} cannot be the value of a chat template's variable"
    raise PrunegridError(where, problem, f"give texts, numbers, true, false, null, lists or objects in {_kwargs(key)}")


def with_fixed_date(template: str) -> str:
    """The template; one that asks for the date gets `TEMPLATE_DATE` on any day, so that a run can be repeated."""
    if ASKS_DATE not in template or f"macro {ASKS_DATE}" in template:
        return template
    formats = (DATE_FORMATS | TIME_FORMATS).items()
    text = "format" + "".join(f" | replace('{form}', '{value}')" for form, value in formats)
    return f"{{%- macro {ASKS_DATE}(format) -%}}{{{{ {text} }}}}{{%- endmacro -%}}\n{template}"


def _check(tokenizer: Any, where: object, key: str) -> None:
    """Refuse a template that is not Jinja, or that writes a question and an answer without the words of both.

    What a template itself raises is left to the rows that it raises it for.
    """
    try:
        text = tokenizer.apply_chat_template(PROBE, tokenize=False)
    except Exception as error:  # a template is a program: it raises what it likes
        if type(error).__name__ == "TemplateError":
            return
        problem = f"its chat template fails ({type(error).__name__}: {first_line(error)})"
        raise PrunegridError(where, problem, f"correct it, or give another with {key}") from None
    if lost := [message["role"] for message in PROBE if message["content"] not in text]:
        problem = f"its chat template does not write what the {lost[0]} says"
        raise PrunegridError(
            where, problem, f"give another with {key} (Jinja, a file, or one of the tokenizer's names)"
        )
