"""A row as a conversation: its shape is recognised by the fields that are not null."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn

from prunegrid.core.files import Record
from prunegrid.data.messages import Messages, full_message
from prunegrid.data.shapes.fields import Fields
from prunegrid.data.shapes.marks import with_row_mark
from prunegrid.data.shapes.pairs import PARTS, find_pair, read_pair
from prunegrid.data.shapes.tool_calls import read_tools
from prunegrid.data.shapes.turns import read_turns

LISTS = ("messages", "conversations", "conversation")
SYSTEMS = ("system", "system_prompt")
FORMS = "messages; conversations; prompt, instruction, question or query + response, output, completion or answer"


@dataclass(frozen=True)
class Conversation:
    """What a row holds: its messages, its tools (JSON), the names of its main fields, and what was not read of it.

    `unread` has the values of fields and message keys by path; `texts` are the texts that were read.
    """

    messages: Messages
    tools: str | None
    shape: str
    unread: Record
    texts: list[str]


def read_conversation(values: Record, place: str, names: Mapping[str, str], ignored: Collection[str]) -> Conversation:
    """Read a row. `names` are the user's for messages, prompt, response and system; `ignored` fields are not read.

    Raises `BadRow` if the row has no known shape, or one of its fields another form than is due.
    """
    row = Fields(values, place, ignored=ignored)
    for role, name in names.items():
        if name not in row.names and role != "system":
            row.refuse(f"has no field {name}, which fields.{role} names, among {_listed(row)}", "correct the name")
    shape, messages = _read_messages(row, names)
    messages = with_row_mark(row, _with_system(row, messages, names))
    _refuse_half_characters(row)
    return Conversation(messages, read_tools(row), shape, row.unread, row.texts)


def _read_messages(row: Fields, names: Mapping[str, str]) -> tuple[str, Messages]:
    """The name of the row's shape, and its messages."""
    if name := names.get("messages") or _list_name(row, names):
        return name, read_turns(row, name, row.take_list(name) or [])
    if pair := find_pair(row, names.get("prompt"), names.get("response")):
        return pair.shape, read_pair(row, pair)
    if name := row.first(*LISTS):  # it is empty
        return name, read_turns(row, name, row.take_list(name) or [])
    _refuse_shape(row)


def _list_name(row: Fields, names: Mapping[str, str]) -> str | None:
    """The field that holds a list of messages, unless the user names a prompt or response. An empty list is none."""
    if "prompt" in names or "response" in names:
        return None
    return next((name for name in LISTS if name in row.values and row.values[name] not in ([], "", "[]")), None)


def _with_system(row: Fields, messages: Messages, names: Mapping[str, str]) -> Messages:
    """The messages with the row's system text in front."""
    systems = (names["system"],) if "system" in names else SYSTEMS
    name, text = row.first(*systems), row.take_text(*systems)
    if text is None or not text.strip():
        return messages
    system_texts = [message["content"] for message in messages if message["role"] == "system"]
    if text in system_texts:
        return messages
    if system_texts:
        problem = f"has one system text in {name} and another in its messages"
        row.refuse(problem, f"leave one out (--ignore {name}, dataset.ignore: [{name}])")
    return [full_message("system", text), *messages]


def _refuse_half_characters(row: Fields) -> None:
    """Refuse text that no file can hold: JSON may give one half (a surrogate) of a character alone."""
    for text in row.texts:
        try:
            text.isascii() or text.encode()
        except UnicodeEncodeError as error:
            problem = f"holds half a character ({text[max(0, error.start - 10) : error.end]!a})"
            row.refuse(problem, "correct the text")


def _refuse_shape(row: Fields) -> NoReturn:
    """Say why no conversation is found, and which setting would read the row."""
    if "chosen" in row.values and "rejected" in row.values:
        problem = f"has preferences (chosen and rejected), but only one answer can be learned; fields: {_listed(row)}"
        name = "messages" if isinstance(row.values["chosen"], list) else "response"
        row.refuse(problem, f"name the field: --field {name}=chosen --ignore rejected (dataset.fields, dataset.ignore)")
    if "text" in row.values:
        problem = (
            f"has its conversation in one field, text, so prompt and response cannot be separated ({_listed(row)})"
        )
        row.refuse(problem, "split it into prompt and response")
    nulls = [name for name in (*LISTS, *PARTS) if name in row.names and name not in row.values]
    if nulls:
        row.refuse(f"has null in {', '.join(nulls)}, and no other conversation ({_listed(row)})", "fill it in")
    problem = f"fields {_listed(row)} are not understood; read are {FORMS}"
    row.refuse(problem, "name them: --field prompt=NAME --field response=NAME (dataset.fields)")


def _listed(row: Fields) -> str:
    return ", ".join(sorted(row.names)) or "none"
