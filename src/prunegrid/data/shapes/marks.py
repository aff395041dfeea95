"""Whether an answer is learned: marks and weights of messages and rows, and verdicts on a row."""

from typing import Any

from prunegrid.data.messages import Messages
from prunegrid.data.shapes.fields import Fields, excerpt

ROW_MARKS = ("train", "weight", "loss_weight")
MESSAGE_MARKS = (*ROW_MARKS, "training", "loss")  # axolotl's and ms-swift's
SPAN_MARKS = ("train_detail", "training_detail")
VERDICTS = ("label", "kto_tag")


def read_mark(message: Fields, role: str) -> bool | None:
    """Whether a message is learned, as a truth value or a weight of 0 or 1 says; None if nothing does."""
    if message.first(*SPAN_MARKS) and message.take(*SPAN_MARKS):
        problem = f"{message.path(message.first(*SPAN_MARKS))} marks parts of a message, which is not read"
        message.refuse(problem, "mark whole messages (train: true, train: false), or leave it out (dataset.ignore)")
    marks = {message.path(name): message.take(name) for name in MESSAGE_MARKS if message.first(name)}
    return _mark(message, marks) if role == "assistant" else None


def with_row_mark(row: Fields, messages: Messages) -> Messages:
    """The messages, their answers as the row's own mark says; refuse a row that is marked as an answer to avoid."""
    for name in VERDICTS:
        if _plain(row.values.get(name)) is False:
            problem = f"{name} is false: its answer is one to avoid, and would be learned"
            row.refuse(problem, f"to learn it, --ignore {name} (dataset.ignore: [{name}])")
    plain = {name: _plain(row.values.get(name)) for name in ROW_MARKS}
    marks = {name: value for name, value in plain.items() if isinstance(value, int | float)}
    for name in marks:
        row.take(name)
    if _mark(row, marks) is not False:
        return messages
    return [message | {"train": False} if message["role"] == "assistant" else message for message in messages]


def _mark(fields: Fields, marks: dict[str, Any]) -> bool | None:
    for name, value in marks.items():
        if not isinstance(value, int | float) or value not in (0, 1):
            problem = f"{name} is {excerpt(value)}: an answer is learned (1, true) or not (0, false)"
            fields.refuse(problem, f"give 0 or 1, or --ignore {name.rpartition('.')[2]} (dataset.ignore)")
    return all(marks.values()) if marks else None


def _plain(value: Any) -> Any:
    """The value; a number or truth value that a CSV file gives as text, as what it is."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return {"true": True, "false": False}.get(value.strip().lower(), value)
