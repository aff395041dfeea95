"""Conversations as lists: of messages in the form of OpenAI or of ShareGPT, or of texts (LIMA)."""

from typing import Any

from prunegrid.data.messages import Message, Messages, full_message
from prunegrid.data.shapes.content import read_content
from prunegrid.data.shapes.fields import Fields, excerpt
from prunegrid.data.shapes.marks import read_mark
from prunegrid.data.shapes.tool_calls import parse_calls, read_calls

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bard", "bing", "model", "bot"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "function_response", "ipython"), "tool"),
}
CALLS = ("function_call", "tool_call")
EXCHANGES = (("input", "output"), ("human", "assistant"), ("user", "assistant"))


def read_turns(row: Fields, name: str, items: list[Any]) -> Messages:
    """The messages in the list `items` of the row's field `name`."""
    if items and all(isinstance(item, str) for item in items):
        row.texts.extend(items)
        return [full_message("assistant" if i % 2 else "user", text) for i, text in enumerate(items)]
    for keys in EXCHANGES:
        if items and all(_is_exchange(item, keys) for item in items):
            fields = [row.part(item, f"{name}[{i}]") for i, item in enumerate(items)]
            return [message for exchange in fields for message in _read_exchange(row, exchange, keys)]
    return [_read_message(row, f"{name}[{i}]", item) for i, item in enumerate(items)]


def _is_exchange(item: Any, keys: tuple[str, str]) -> bool:
    """Whether it has the keys, with a value in one of them, and is no message."""
    if not isinstance(item, dict) or not item.keys() >= {*keys} or item.get("role") or item.get("from"):
        return False
    return any(item[key] is not None for key in keys)


def _read_exchange(row: Fields, exchange: Fields, keys: tuple[str, str]) -> Messages:
    """A prompt with its response, and the system text in front, if there is one."""
    system, prompt, response = (exchange.take_text(key) or "" for key in ("system", *keys))
    _add(row, exchange)
    start = [full_message("system", system)] if system.strip() else []
    return [*start, full_message("user", prompt), full_message("assistant", response)]


def _add(row: Fields, part: Fields) -> None:
    """Add what was read and not read of a part of the row."""
    row.texts += part.texts
    for key, value in part.unread.items():
        row.unread[part.path(key)] = value


def _read_message(row: Fields, label: str, item: Any) -> Message:
    if not isinstance(item, dict):
        row.refuse(f"{label} is {excerpt(item)}, not a message with role and content", "correct the message")
    fields = row.part(item, label)
    speaker = fields.take_text("role", "from")
    if speaker is None:
        fields.refuse(f"{label} has no role (or from) among {', '.join(fields.names) or 'no keys'}", "add it")
    speaker = speaker.strip().lower()
    if speaker not in ROLES:
        fields.refuse(f"{label} has the role {speaker!r}; known: {', '.join(ROLES)}", "rename the role")
    fields.texts.clear()
    message = _message(fields, ROLES[speaker], speaker in CALLS)
    _add(row, fields)
    return message


def _message(fields: Fields, role: str, is_call: bool) -> Message:
    content, reasoning = read_content(fields, role)
    rest = _rest(fields, role) if fields.unread else {}
    if is_call and content and (calls := parse_calls(content)):
        content, rest["tool_calls"] = None, calls
    if content is None and not rest.get("tool_calls"):
        if role != "assistant":
            fields.refuse(f"{fields.label} ({role}) has no content", "add it, or remove the message")
        content = None if reasoning else ""  # an empty answer is left out and counted
    return full_message(role, content, reasoning_content=reasoning, **rest)


def _rest(fields: Fields, role: str) -> Message:
    """What a message may have beside its texts."""
    rest: Message = {"name": fields.take_text("name") or None, "train": read_mark(fields, role)}
    if role == "assistant":
        rest["tool_calls"] = read_calls(fields)
    if role == "tool":
        rest["tool_call_id"] = fields.take_text("tool_call_id") or None
    return rest
