"""The rows of a training set as conversations, and the answers of a conversation as samples."""

from collections.abc import Iterator
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.data.counts import Counts
from prunegrid.data.messages import TEXT_FIELDS, Message, Messages
from prunegrid.data.rows import Row
from prunegrid.data.shapes.conversation import Conversation, read_conversation
from prunegrid.data.shapes.fields import BadRow
from prunegrid.data.unread import refuse_unread, unread_fields
from prunegrid.experiment.dataset import Dataset


class SampleReader:
    """Reads the rows of one source as samples, one per answer or per conversation, and counts what it leaves out.

    `sample_id` counts the source's assistant turns, learned or not, so no filter or setting changes it: with one answer
    per row, it is the row's index. `row` and `turn` say where the answer stands: both count from 0, `turn` the
    assistant turns of the row. A bad row that is skipped counts as one turn.
    """

    def __init__(self, dataset: Dataset, source: str) -> None:
        self.dataset, self.source = dataset, source
        self.next_id = 0
        self.counts = Counts()
        self.names: dict[str, str] = {str(role): name for role, name in dataset.fields.items()}
        self.spared = {*dataset.ignore, *dataset.carry}

    def read(self, row: Row) -> Iterator[Record]:
        """The samples of one row; rows come in order."""
        try:
            if row.error:
                raise row.error
            conversation = read_conversation(row.values, row.place, self.names, self.dataset.ignore)
        except PrunegridError as error:
            if self.dataset.on_bad_row == "error" or not (row.error or isinstance(error, BadRow)):
                raise
            self.counts.add_bad_row(error)
            self.next_id += 1
            return
        self._count_unread(conversation, row.place)
        yield from self._samples(conversation, row)

    def _samples(self, conversation: Conversation, row: Row) -> Iterator[Record]:
        messages = conversation.messages
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        reasons = _reasons(messages, answers, self.dataset.turns)
        learned = [i for i, reason in zip(answers, reasons, strict=True) if reason is None]
        self.counts.add_row(conversation.shape, reasons, len(messages) - 1 - learned[-1] if learned else 0)
        columns = {name: _column(row.values, name, row.place) for name in self.dataset.carry}
        rest = {"tools": conversation.tools, **columns}
        for turn, end in [(0, learned[-1])] if self.dataset.turns == "all" and learned else _places(answers, learned):
            place = {"sample_id": self.next_id + turn, "row": row.index, "turn": turn}
            yield {**place, "messages": _marked(messages[: end + 1], self.dataset.turns, learned), **rest}
        self.next_id += len(answers)

    def _count_unread(self, conversation: Conversation, place: str) -> None:
        """Count the fields that nobody read; raise `PrunegridError` if text would be lost."""
        lost = []
        for name, is_lost in unread_fields(conversation, self.spared):
            if name not in self.dataset.carry:
                self.counts.unread[name] += 1
            if is_lost and name not in lost:
                lost.append(name)
        if lost:
            raise refuse_unread(place, conversation, lost)


def _reasons(messages: Messages, answers: list[int], turns: str) -> list[str | None]:
    """Why each answer is left out; None where it is learned."""
    reasons = [_reason(messages[: i + 1]) for i in answers]
    if turns == "last":
        trained = [i for i, reason in enumerate(reasons) if reason != "not_trained"]
        for i in trained[:-1]:
            reasons[i] = "earlier_answer"
    return reasons


def _reason(messages: Messages) -> str | None:
    if messages[-1]["train"] is False:
        return "not_trained"
    if not _has_text(messages[-1]):
        return "empty_response"
    if not any(_has_text(message) for message in messages[:-1]):
        return "empty_prompt"
    return None


def _has_text(message: Message) -> bool:
    return any((message[name] or "").strip() for name in TEXT_FIELDS)


def _places(answers: list[int], learned: list[int]) -> list[tuple[int, int]]:
    """(number among the answers, index among the messages) of each learned answer."""
    return [(turn, i) for turn, i in enumerate(answers) if i in learned]


def _marked(messages: Messages, turns: str, learned: list[int]) -> Messages:
    """The messages with `train` as `turns` says: of several answers the learned ones, else no mark (the last one)."""
    if turns == "all":
        return [message | {"train": i in learned} for i, message in enumerate(messages)]
    return [message | {"train": None} for message in messages]


def _column(row: Record, name: str, place: str) -> Any:
    if name not in row:
        problem = f"no field {name} to carry among {', '.join(sorted(row))}"
        raise PrunegridError(place, problem, "correct dataset.carry, or add the field")
    return row[name]
