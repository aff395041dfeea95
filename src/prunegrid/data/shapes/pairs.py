"""A prompt and a response in fields of their own: Alpaca, Dolly, prompt + completion, question + answer, ..."""

from functools import cache
from itertools import product
from typing import NamedTuple

from prunegrid.data.messages import Messages, full_message
from prunegrid.data.shapes.fields import Fields, excerpt
from prunegrid.data.shapes.turns import read_turns

PROMPTS = ("prompt", "instruction", "question", "query")
PARTS = ("input", "context")  # follow the prompt
RESPONSES = ("response", "output", "completion", "answer")
USUAL = [
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("query", "response"),
]
PAIRS = [*USUAL, *(pair for pair in product(PROMPTS, RESPONSES) if pair not in USUAL)]


class Pair(NamedTuple):
    """The names of the fields that hold a prompt and its response; no prompt if only `PARTS` hold text."""

    prompt: str | None
    response: str

    @property
    def shape(self) -> str:
        return f"{self.prompt or 'input'} + {self.response}"


def find_pair(row: Fields, prompt: str | None = None, response: str | None = None) -> Pair | None:
    """The fields of the row that hold a prompt and a response, preferably not blank; the given names are certain."""
    pairs = _pairs(prompt, response)
    filled = {name for name, value in row.values.items() if not isinstance(value, str) or value.strip()}
    if whole := next((pair for pair in pairs if filled.issuperset(pair)), None):
        return whole
    if prompt:
        return next((pair for pair in pairs if pair.response in row.names), None)
    parts = [name for name in PARTS if name in filled]
    answers = [pair.response for pair in pairs if pair.response in filled]
    if parts and answers:
        is_list = isinstance(row.values[parts[0]], list)
        return Pair(parts[0] if is_list else None, answers[0])
    complete = [pair for pair in pairs if {*pair} <= {*row.names}]
    halves = [pair for pair in complete if pair.response in filled]
    partial = [Pair(None, pair.response) for pair in pairs if pair.response in row.names]
    return next(iter([*halves, *complete, *(partial if {*PARTS} & {*row.names} else ())]), None)


@cache
def _pairs(prompt: str | None, response: str | None) -> list[Pair]:
    """All pairs with the given names, the usual ones first."""
    return [Pair(prompt or question, response or answer) for question, answer in PAIRS]


def read_pair(row: Fields, pair: Pair) -> Messages:
    """The earlier turns (`history`), the prompt, and the response."""
    return [*_read_history(row), *_read_prompt(row, pair.prompt), *_read_response(row, pair.response)]


def _read_history(row: Fields) -> Messages:
    """Alpaca's `history`: pairs of prompt and response, or messages."""
    items = row.take_list("history") or []
    if items and all(isinstance(item, dict) for item in items):
        return read_turns(row, "history", items)
    turns: Messages = []
    for i, item in enumerate(items):
        if not isinstance(item, list | tuple) or len(item) != 2 or not all(isinstance(text, str) for text in item):
            row.refuse(f"history[{i}] is {excerpt(item)}, not a pair of texts", "give [prompt, response]")
        turns += [full_message("user", item[0]), full_message("assistant", item[1])]
        row.texts.extend(item)
    return turns


def _read_prompt(row: Fields, name: str | None) -> Messages:
    """The prompt with its input or context behind it; if it is a list of messages, those."""
    if name and isinstance(row.values.get(name), list):
        messages = _read_list(row, name)
        return [message | {"train": False} if message["role"] == "assistant" else message for message in messages]
    names = [name, *(part for part in PARTS if part != name)] if name else PARTS
    texts = [row.take_text(part) for part in names]
    return [full_message("user", "\n\n".join(text for text in texts if text))]


def _read_response(row: Fields, name: str) -> Messages:
    """The response; if it is a list of messages, those. A null is an empty answer, which is left out and counted."""
    if isinstance(row.values.get(name), list):
        return _read_list(row, name)
    return [full_message("assistant", row.take_text(name) or "")]


def _read_list(row: Fields, name: str) -> Messages:
    """The messages in a prompt or response. A list of texts is none: it may hold one answer's variants."""
    items = row.take(name)
    if any(isinstance(item, str) for item in items):
        row.refuse(f"{name} is {excerpt(items)}, of texts, not of messages", "make it a string, or messages")
    return read_turns(row, name, items)
