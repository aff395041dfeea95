"""The kept samples as text: messages of the data set that was scored, with the answers that are learned."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record, parquet_schema, read_parquet, stream_parquet
from prunegrid.data.messages import Message, Messages, to_template, to_tools
from prunegrid.exporters.blocks import KeptRow
from prunegrid.exporters.rows import KeptRows

BATCH_ROWS = 1024


@dataclass(frozen=True)
class TextRow:
    """A row as messages, which end in its last kept answer. `learned` are the indices of the kept answers."""

    row: KeptRow
    messages: Messages
    learned: list[int]
    tools: list[Message] | None

    @property
    def place(self) -> str:
        return f"sample_id {self.row.answers[0].sample_id}"

    @property
    def answers(self) -> list[int]:
        """The indices of all answers, learned or context."""
        return _answers(self.messages)

    @property
    def learns_last_only(self) -> bool:
        return self.learned == [len(self.messages) - 1]


def text_rows(rows: KeptRows) -> Iterator[TextRow]:
    """The rows with their messages, in the same order; the data set is read beside the scores, in batches."""
    records = _records(rows)
    current, coming = next(records, None), next(records, None)
    for row in rows:
        first = row.answers[0].sample_id
        while coming is not None and coming["sample_id"] <= first:
            current, coming = coming, next(records, None)
        yield _text_row(rows, row, current)


def whole_rows(rows: KeptRows) -> Iterator[TextRow]:
    """`text_rows` of a selection of whole samples; one that prunes tokens is refused, because text cannot show it."""
    for text in text_rows(rows):
        if not text.row.is_whole:
            problem = f"prunes tokens ({text.place}), which text cannot show"
            raise PrunegridError(rows.selection, problem, "export token ids, or prune with a token ratio of 1")
        yield text


def _records(rows: KeptRows) -> Iterator[Record]:
    """The data set's rows, in ascending order of `sample_id`: that of the answer, or of the first of the row."""
    path = rows.scores.data_file()
    columns = ["sample_id", "messages", *({"tools"} & set(parquet_schema(path).names))]
    count = len(read_parquet(path, ["sample_id"]))
    sizes = [BATCH_ROWS] * (count // BATCH_ROWS)
    return chain.from_iterable(part.to_pylist() for part in stream_parquet(path, columns, sizes))


def _text_row(rows: KeptRows, row: KeptRow, record: Record | None) -> TextRow:
    sample_ids = [answer.sample_id for answer in row.answers]
    places = _learnable(record) if record else {}
    if not record or not set(sample_ids) <= places.keys():
        problem = f"does not hold sample_id {sample_ids[0]} where the order of the scores has it"
        raise PrunegridError(rows.scores.data_file(), problem, "score again")
    learned = [places[sample_id] for sample_id in sample_ids]
    return TextRow(row, to_template(record["messages"][: learned[-1] + 1]), learned, to_tools(record.get("tools")))


def _learnable(record: Record) -> dict[int, int]:
    """The message of each answer that the record may be learned for, by `sample_id`.

    A conversation in one row marks the answers that are learned, and has the `sample_id` of its first answer.
    """
    messages, first = record["messages"], record["sample_id"]
    if all(message.get("train") is None for message in messages):
        return {first: len(messages) - 1}
    return {first + turn: index for turn, index in enumerate(_answers(messages))}


def _answers(messages: Messages) -> list[int]:
    return [index for index, message in enumerate(messages) if message["role"] == "assistant"]
