"""The fields of a row or a message, each read at most once, so that what nobody reads is known."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record

SKIP = "or skip such rows: --on-bad-row skip (dataset.on_bad_row: skip)"
KINDS = {bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text"}


class BadRow(PrunegridError):
    """A row that cannot be read; with `on_bad_row: skip` it is counted and left out."""

    def __init__(self, place: str, problem: str, fix: str) -> None:
        super().__init__(place, problem, f"{fix}, {SKIP}")


class Fields:
    """The fields that are not null, of a row at `place` or of a part of it called `label`.

    `ignored` fields are not read; `texts` holds the texts that were.
    """

    def __init__(self, values: Record, place: str, label: str = "", ignored: Collection[str] = ()) -> None:
        self.place, self.label, self.ignored = place, label, ignored
        self.names = [name for name in values if not is_ignored(self.path(name), ignored)] if ignored else [*values]
        self.values = {name: values[name] for name in self.names if values[name] is not None}
        self.unread = {name: value for name, value in values.items() if value is not None}
        self.texts: list[str] = []

    def part(self, values: Record, label: str) -> "Fields":
        """The fields of a part of the row, such as a message."""
        return Fields(values, self.place, label, self.ignored)

    def first(self, *names: str) -> str | None:
        """The first of `names` that is not null."""
        for name in names:
            if name in self.values:
                return name
        return None

    def take(self, *names: str) -> Any:
        """The value of the first of `names` that is not null."""
        for name in names:
            if name in self.values:
                self.unread.pop(name, None)
                return self.values[name]
        return None

    def take_text(self, *names: str) -> str | None:
        """The same, which must be text."""
        value = self.take(*names)
        if isinstance(value, str):
            self.texts.append(value)
            return value
        if value is not None:
            self.refuse(f"{self.path(self.first(*names))} is {excerpt(value)}, not text", "make it a string")
        return None

    def take_list(self, *names: str) -> list[Any] | None:
        """The same, which must be a list, or JSON of a list in a string; blank text is no list."""
        name, value = self.first(*names), self.take(*names)
        if name is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, str):
            value = self._parse(name, value)
        if isinstance(value, dict):
            value = _rows(value) or value
        if not isinstance(value, list | tuple):
            self.refuse(f"{self.path(name)} is {excerpt(value)}, not a list", "make it a list")
        return list(value)

    def _parse(self, name: str, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            problem = f"{self.path(name)} is text but not JSON ({error}): {excerpt(text)}"
            self.refuse(problem, "make it a list, or JSON of one")

    def path(self, name: str | None) -> str:
        """`messages[0].content`."""
        return f"{self.label}.{name}" if self.label else str(name)

    def refuse(self, problem: str, fix: str) -> NoReturn:
        raise BadRow(self.place, problem, fix)


def _rows(columns: Record) -> list[Record] | None:
    """A list of objects that `datasets` stores as an object of lists (`Sequence`); None if it is something else."""
    if not columns or not all(isinstance(column, list) for column in columns.values()):
        return None
    if len({len(column) for column in columns.values()}) > 1:
        return None
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def field_name(path: str) -> str:
    """`messages.content` of `messages[0].content`."""
    return re.sub(r"\[\d+\]", "", path)


def is_ignored(path: str, ignored: Collection[str]) -> bool:
    """Whether a field is ignored, by its path without numbers or by its last part."""
    return path.rpartition(".")[2] in ignored or field_name(path) in ignored


def excerpt(value: Any) -> str:
    """The kind of a value, and its beginning: `12, a number`."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"{text if len(text) <= 60 else text[:57] + '...'}, {KINDS.get(type(value), type(value).__name__)}"


def texts_in(value: Any) -> Iterator[str]:
    """The texts in a value that are not blank, however deep they stand in lists and objects."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_in(part)
