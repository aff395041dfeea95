"""What a message says: its content, a text or parts of text, and its reasoning."""

from typing import Any

from prunegrid.data.shapes.fields import Fields, excerpt
from prunegrid.data.shapes.marks import read_mark

TEXT_PARTS = ("text", "input_text", "output_text")
REASONING = ("reasoning_content", "reasoning", "thinking")  # field of a message, or type of a part


def read_content(message: Fields, role: str) -> tuple[str | None, str | None]:
    """The message's content and reasoning, null where there is none."""
    name = message.first("content", "value")
    reasoning = (role == "assistant" and message.take_text(*REASONING)) or None
    if name is None or not isinstance(message.values[name], list):
        return message.take_text("content", "value"), reasoning
    content, thoughts = _join(message, name, message.take(name), role)
    message.texts.extend(filter(None, (content, thoughts)))
    return content, reasoning if thoughts is None else (reasoning or "") + thoughts


def _join(message: Fields, name: str, parts: list[Any], role: str) -> tuple[str | None, str | None]:
    """The parts of text joined, and the parts of reasoning joined."""
    texts: list[str] = []
    thoughts: list[str] = []
    for i, part in enumerate(parts):
        label = f"{message.path(name)}[{i}]"
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            message.refuse(f"{label} is {excerpt(part)}, not a part of text", "correct the content")
        fields = message.part(part, label)
        kind = fields.take("type") or "text"
        if kind not in (*TEXT_PARTS, *REASONING):
            message.refuse(f"{label} is of type {kind!r}; only parts of text are read", "remove the part")
        if read_mark(fields, role) is False:
            message.refuse(f"{label} is not to be learned, which is read of whole messages only", "split the message")
        (texts if kind in TEXT_PARTS else thoughts).append(fields.take_text("text", "thinking", "reasoning") or "")
        message.unread.update({f"{name}[{i}].{key}": value for key, value in fields.unread.items()})
    return "".join(texts) if texts else None, "".join(thoughts) if thoughts else None
