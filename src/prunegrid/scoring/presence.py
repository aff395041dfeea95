"""The texts of a message, and where they stand in the text that a chat template wrote."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

THINK, THINK_END = "<think>", "</think>"


class Part(NamedTuple):
    """A text that a message must put into the rendered text; `kind` is what the message calls it."""

    kind: str
    text: str


class Place(NamedTuple):
    """Where a message stands in a text, in characters, and the parts of it that do not."""

    begin: int
    end: int
    missing: list[Part]


def find(message: dict[str, Any], text: str, start: int) -> Place:
    """Look for the message's parts in order from `start` on. Blanks at a part's borders do not count.

    A system turn counts wherever it stands: templates put it into a user's turn.
    """
    anywhere = message["role"] in ("system", "developer")
    begin, end, missing = None, start, []
    for part in _parts(message, text):
        forms = _forms(part)
        found = [(at, at + len(form)) for form in forms if (at := text.find(form, 0 if anywhere else end)) >= 0]
        if not found and part.kind == "tool call":  # a template may write the arguments before the name
            found = [(at, end) for form in forms if (at := text.find(form, start)) >= 0]
        if not found:
            missing.append(part)
            continue
        place = min(found)
        begin = place[0] if begin is None else begin
        end = end if anywhere else max(end, place[1] + _blanks(part.text, text, place[1]))
    return Place(end if begin is None else begin, end, missing)


def states_tools(tools: Sequence[Any], text: str) -> bool:
    """Whether the name of every tool stands in the text."""
    names = [tool.get("function", tool).get("name", "") for tool in tools]
    return all(str(name) in text for name in names)


def _parts(message: dict[str, Any], text: str) -> Iterator[Part]:
    content = message.get("content") or ""
    if reasoning := (message.get("reasoning_content") or "").strip():
        yield Part("reasoning", reasoning)
    if THINK_END in content and content.strip() not in text:  # written apart, with other blanks
        reasoning, _, content = content.rpartition(THINK_END)
        yield Part("reasoning", reasoning.strip().removeprefix(THINK).strip())
    if content.strip():
        yield Part(message["role"], content)
    for call in message.get("tool_calls") or []:
        function = call.get("function", call)
        yield Part("tool call", str(function["name"]))
        yield from (Part("tool call", value) for value in _leaves(function.get("arguments")))


def _leaves(value: Any) -> Iterator[str]:
    """The texts and numbers in a tool call's arguments."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield value if isinstance(value, str) else json.dumps(value)


def _forms(part: Part) -> list[str]:
    """The part as templates write it: as it is, or as JSON."""
    plain = part.text.strip()
    if part.kind not in ("tool call", "tool"):
        return [plain]
    return list(
        dict.fromkeys([plain, *(json.dumps(plain, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))])
    )


def _blanks(part: str, text: str, at: int) -> int:
    """How many of the blanks at the part's end stand in the text at `at`."""
    blanks = part[len(part.rstrip()) :]
    return next((size for size in range(len(blanks), 0, -1) if text.startswith(blanks[:size], at)), 0)
