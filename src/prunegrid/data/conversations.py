"""The rows of a training set as conversations, and each assistant turn of a conversation as a sample."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.data.messages import Messages, full_message
from prunegrid.data.rows import Row
from prunegrid.experiment.sections import Dataset

Reader = Callable[[Record], Messages]
ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}


class SampleReader:
    """Reads the rows of one source as samples, one per assistant turn, and counts what it leaves out.

    `sample_id` counts the source's assistant turns, so no filter changes it: with one answer per row, it is the row's
    index. `row` and `turn` say where the answer stands: both count from 0, `turn` the assistant turns of the row.
    """

    def __init__(self, dataset: Dataset, source: str) -> None:
        self.dataset, self.source = dataset, source
        self.rows = self.next_id = 0
        self.left_out: Counter[str] = Counter({"empty_response": 0, "empty_prompt": 0})
        self.reader: Reader | None = None

    def read(self, row: Row) -> Iterator[Record]:
        """The samples of one row; rows come in order."""
        if row.error:
            self.rows, self.next_id = self.rows + 1, self.next_id + 1
            self.left_out["unreadable"] += 1
            return
        self.reader = self.reader or _choose_reader(row.values, self.source)
        self.rows += 1
        for turn, messages in enumerate(_turns(_read_messages(self.reader, row.values, row.place))):
            if reason := _unusable(messages):
                self.left_out[reason] += 1
            else:
                columns = {name: _column(row.values, name, row.place) for name in self.dataset.carry}
                place = {"sample_id": self.next_id, "row": row.index, "turn": turn}
                yield {**place, "messages": messages, "tools": None, **columns}
            self.next_id += 1


def _choose_reader(row: Record, source: str) -> Reader:
    """How to read a row as messages, by the names of its fields."""
    for fields, reader in _READERS:
        if fields <= row.keys():
            return reader
    forms = "; ".join(" + ".join(sorted(fields)) for fields, _ in _READERS)
    raise PrunegridError(source, f"fields {', '.join(sorted(row))} are not understood", f"give one of: {forms}")


def _read_messages(reader: Reader, row: Record, place: str) -> Messages:
    try:
        messages = reader(row)
    except (KeyError, TypeError) as error:
        problem = f"{error} is missing or unusable among the fields {', '.join(sorted(row))}"
        raise PrunegridError(place, problem, "correct the row, or remove it") from None
    for message in messages:
        if not isinstance(message["content"], str):
            problem = f"the content of {message['role']} is {message['content']!r}, not text"
            raise PrunegridError(place, problem, "make it a string, or remove the row")
    return messages


def _messages_reader(field: str) -> Reader:
    def read(row: Record) -> Messages:
        return [
            full_message(
                ROLES[turn["role"] if "role" in turn else turn["from"]],
                turn["content"] if "content" in turn else turn["value"],
            )
            for turn in row[field]
        ]

    return read


def _pair_reader(prompt: str, context: str | None, response: str) -> Reader:
    def read(row: Record) -> Messages:
        question = "\n\n".join(part for part in (row[prompt], row.get(context or "")) if part)
        answer = "" if row[response] is None else row[response]  # an empty answer is left out and counted
        return [full_message("user", question), full_message("assistant", answer)]

    return read


_READERS: list[tuple[set[str], Reader]] = [
    ({"messages"}, _messages_reader("messages")),
    ({"conversations"}, _messages_reader("conversations")),
    ({"prompt", "response"}, _pair_reader("prompt", None, "response")),
    ({"instruction", "output"}, _pair_reader("instruction", "input", "output")),
    ({"instruction", "response"}, _pair_reader("instruction", "context", "response")),
]


def _turns(messages: Messages) -> Iterator[Messages]:
    """The conversation up to each of its assistant turns."""
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            yield messages[: i + 1]


def _unusable(messages: Messages) -> str | None:
    if not messages[-1]["content"].strip():
        return "empty_response"
    if not any(message["content"].strip() for message in messages[:-1]):
        return "empty_prompt"
    return None


def _column(row: Record, name: str, place: str) -> Any:
    if name not in row:
        problem = f"no field {name} to carry among {', '.join(sorted(row))}"
        raise PrunegridError(place, problem, "correct dataset.carry, or add the field")
    return row[name]
