"""The texts of a message, and where they stand in the text that a chat template wrote."""

import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

THINK, THINK_END = "<think>", "</think>"
REASONING, TOOL_CALL = "reasoning", "tool call"


class Part(NamedTuple):
    """A text that a message must put into the rendered text; `kind` is what the message calls it."""

    kind: str
    text: str


class Place(NamedTuple):
    """Where a message ends in a text, in characters, and the parts of it that do not stand there."""

    end: int
    missing: list[Part]


def find(message: dict[str, Any], text: str, start: int, last: bool = False) -> Place:
    """Look for the message's parts in order from `start` on. Blanks at a part's borders do not count.

    A system turn counts wherever it stands: templates put it into a user's turn. Unless the message is the `last` one,
    reasoning counts only before the first place of what follows it: further on it is another message's.
    """
    anywhere = message["role"] in ("system", "developer")
    end, missing = start, []
    parts = list(_parts(message, text, start, last))
    for part, following in zip_longest(parts, parts[1:]):
        forms = _forms(part)
        begins = ((text.find(form, 0 if anywhere else end), len(form)) for form in forms)
        matches = [(begin, begin + length) for begin, length in begins if begin >= 0]
        if part.kind == REASONING and matches and following and not last:
            matches = matches if matches[0][0] <= text.find(following.text.strip(), end) else []
        if not matches and part.kind == TOOL_CALL:  # a template may write the arguments before the name
            matches = [(begin, end) for form in forms if (begin := text.find(form, start)) >= 0]
        if not matches:
            missing.append(part)
        elif not anywhere:
            place = min(matches)[1]
            end = max(end, place + _blanks(part.text, text, place))
    return Place(end, missing)


def states_tools(tools: Sequence[Any], text: str) -> bool:
    """Whether the name of every tool stands in the text."""
    names = [tool.get("function", tool).get("name", "") for tool in tools]
    return all(str(name) in text for name in names)


def _parts(message: dict[str, Any], text: str, start: int, last: bool) -> Iterator[Part]:
    content = message.get("content") or ""
    if reasoning := (message.get("reasoning_content") or "").strip():
        yield Part(REASONING, reasoning)
    if THINK_END in content and not (last and text.find(content.strip(), start) >= 0):  # written apart
        reasoning, _, content = content.rpartition(THINK_END)
        if reasoning := reasoning.strip().removeprefix(THINK).strip():
            yield Part(REASONING, reasoning)
    if content.strip():
        yield Part(message["role"], content)
    for call in message.get("tool_calls") or []:
        function = call.get("function", call)
        yield Part(TOOL_CALL, str(function["name"]))
        yield from (Part(TOOL_CALL, value) for value in _leaves(function.get("arguments")))


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
    if part.kind not in (TOOL_CALL, "tool"):
        return [plain]
    return list(
        dict.fromkeys([plain, *(json.dumps(plain, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))])
    )


def _blanks(part: str, text: str, end: int) -> int:
    """How many of the blanks at the part's end stand in the text from `end` on."""
    blanks = part[len(part.rstrip()) :]
    return next((size for size in range(len(blanks), 0, -1) if text.startswith(blanks[:size], end)), 0) if blanks else 0
