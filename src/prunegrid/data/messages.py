"""A message of a conversation: its type in `data.parquet`, and its form for a chat template."""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

Message = dict[str, Any]
Messages = list[Message]
"""The turns of a conversation. A message has the fields of `MESSAGE`, or, from version 0.1, role and content only."""

MESSAGE = pa.struct(
    [
        ("role", pa.string()),  # system, user, assistant or tool
        ("content", pa.string()),  # null where an assistant only calls tools
        ("reasoning_content", pa.string()),
        ("tool_calls", pa.string()),  # JSON: [{"type": "function", "function": {"name": ..., "arguments": ...}}]
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
        ("train", pa.bool_()),  # whether an answer is learned; null in all messages: the last answer only
    ]
)
FIELDS: tuple[str, ...] = tuple(field.name for field in MESSAGE)
TEXT_FIELDS = ("content", "reasoning_content", "tool_calls")
"""The fields that a model reads or learns."""


def full_message(role: str, content: str | None, **rest: Any) -> Message:
    """A message with all fields, null where `rest` does not give them."""
    return dict.fromkeys(FIELDS) | {"role": role, "content": content} | rest


def text_length(message: Message) -> int:
    """The characters that a model reads or learns."""
    return sum(len(message.get(name) or "") for name in TEXT_FIELDS)


def to_template(messages: Messages) -> Messages:
    """The messages as chat templates read them: no nulls, no `train`, tool calls and their arguments as objects."""
    return [_to_template(message) for message in messages]


def _to_template(message: Message) -> Message:
    fields = {name: value for name, value in message.items() if value is not None and name != "train"}
    if "tool_calls" in fields:
        fields["tool_calls"] = [_with_object(call) for call in json.loads(fields["tool_calls"])]
    return fields


def _with_object(call: Message) -> Message:
    """The call with its arguments as an object; OpenAI writes them as JSON in a string."""
    arguments = call["function"].get("arguments")
    if not isinstance(arguments, str):
        return call
    return call | {"function": call["function"] | {"arguments": json.loads(arguments)}}


def to_tools(tools: str | None) -> list[Message] | None:
    """The column `tools` as chat templates read it: the functions that an assistant may call."""
    return None if tools is None else json.loads(tools)


def text_of(messages: Iterable[Message]) -> str:
    """All that a model reads or learns of the messages, a line each."""
    return "\n".join(message.get(name) or "" for message in messages for name in TEXT_FIELDS)


def is_learned(messages: Messages) -> list[bool]:
    """Whether each message is an answer that is learned: those marked `train`, else the last message."""
    marks = [bool(message.get("train")) for message in messages]
    return marks if any(marks) else [*(False for _ in messages[:-1]), True]
