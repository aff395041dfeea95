"""Rows of JSON: one object a line, an array of objects, objects one after another, or an object that holds a list."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.data.compression import plain
from prunegrid.data.json_text import JsonText
from prunegrid.data.shapes.conversation import LISTS as CONVERSATIONS

PlacedRow = tuple[str, Record | PrunegridError]
"""A row and its place, or why it cannot be read."""
LISTS = ("data", "rows", "train", "examples", "instances", "samples", "items", "records")
LONGEST_LINE = 1 << 24  # bytes: a longer first line is not one row
FIX = "write one JSON object a line"


def json_rows(path: Path) -> Iterator[PlacedRow]:
    """The rows of a file of JSON; a row that is not an object, or a line that is not JSON, gives its error."""
    by_line = _has_objects_by_line(path)
    with plain(path) as stream:
        if by_line:
            yield from _line_rows(stream, str(path))
        else:
            text = JsonText(stream, str(path))
            yield from _array_rows(text) if text.peek() == "[" else _value_rows(text)


def _has_objects_by_line(path: Path) -> bool:
    """Whether the lines are to be read each for itself; if not, values go over lines."""
    with plain(path) as stream:
        first, second = _next_line(stream), _next_line(stream)
    if first.startswith(b"[") or len(first) >= LONGEST_LINE:
        return False
    try:
        return isinstance(json.loads(first), dict) and bool(second)
    except json.JSONDecodeError as error:
        # A value that goes on in the next line is whole up to the line's end, and no line breaks a string.
        is_cut = not error.msg.startswith("Unterminated") and error.pos >= len(error.doc.rstrip())
        return not is_cut or not (first in (b"{", b"") or first.endswith(b"[") or not _is_object(second))
    except (UnicodeDecodeError, RecursionError):
        return True


def _next_line(stream: IO[bytes]) -> bytes:
    """The next line that is not blank, stripped; a very long one is cut."""
    while line := stream.readline(LONGEST_LINE):
        if line := line.removeprefix(b"\xef\xbb\xbf").strip():
            return line
    return b""


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _line_rows(stream: IO[bytes], source: str) -> Iterator[PlacedRow]:
    loads, number = json.loads, 0
    for line in stream:
        number += 1
        if line.isspace():
            continue
        place = f"{source}:{number}"
        try:
            row = loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            yield place, row if type(row) is dict else _not_object(place, row)
        except UnicodeDecodeError as error:
            yield place, PrunegridError(place, f"is not UTF-8 text ({error})", "save it as UTF-8")
        except (json.JSONDecodeError, RecursionError) as error:
            yield place, PrunegridError(place, f"is not JSON ({error})", FIX)


def _not_object(place: str, row: Any) -> PrunegridError:
    return PrunegridError(place, f"is a {type(row).__name__}, not an object with named fields", FIX)


def _array_rows(text: JsonText) -> Iterator[PlacedRow]:
    yield from _numbered(_elements(text), text.source)
    if text.peek():
        raise text.damaged("text follows the array")


def _numbered(values: Iterable[Any], source: str) -> Iterator[PlacedRow]:
    for number, value in enumerate(values, 1):
        place = f"{source}: row {number}"
        yield place, value if isinstance(value, dict) else _not_object(place, value)


def _elements(text: JsonText) -> Iterator[Any]:
    """The elements of the array that begins at the position."""
    text.take("[")
    if text.peek() != "]":
        yield text.value()
    while text.peek() != "]":
        text.take(",")
        yield text.value()
    text.take("]")


def _value_rows(text: JsonText) -> Iterator[PlacedRow]:
    """The rows of one object that holds a list, or objects one after another, each a row."""
    place = f"{text.source}:{text.line}"
    row: Record = {}
    text.take("{")
    while text.peek() != "}":
        if row:
            text.take(",")
        name = text.value()
        text.take(":")
        if name in LISTS and text.peek() == "[":
            values = _elements(text)
            first = list(islice(values, 1))
            if first and _is_row(first[0]):
                yield from _numbered(chain(first, values), text.source)
                _skip_rest(text, name)
                return
            row[name] = [*first, *values]
        else:
            row[name] = text.value()
    text.take("}")
    if text.peek():
        yield place, row
        yield from _following_rows(text)
    else:
        yield from _single(place, row, text.source)


def _is_row(value: Any) -> bool:
    """Whether an element of a list is a row, not a message of a conversation."""
    return isinstance(value, dict) and not {"role", "from"} & value.keys()


def _skip_rest(text: JsonText, name: str) -> None:
    """Read what follows a list of rows in its object: other fields, but no second list of rows."""
    while text.peek() == ",":
        text.take(",")
        other = text.value()
        text.take(":")
        value = text.value()
        if isinstance(value, list) and value and _is_row(value[0]):
            raise _several_lists(text.source, [name, other])
    text.take("}")
    if text.peek():
        raise text.damaged("text follows the object")


def _several_lists(source: str, names: list[str]) -> PrunegridError:
    fix = f"write each to a file of its own (jq -c '.{names[0]}[]' FILE > {names[0]}.jsonl)"
    return PrunegridError(source, f"is one object with several lists of rows ({', '.join(names)})", fix)


def _following_rows(text: JsonText) -> Iterator[PlacedRow]:
    while text.peek():
        place = f"{text.source}:{text.line}"
        value = text.value()
        yield place, value if isinstance(value, dict) else _not_object(place, value)


def _single(place: str, row: Record, source: str) -> Iterator[PlacedRow]:
    """The rows of a file's only object: a list in it, or the object itself."""
    fields = {name: value for name, value in row.items() if name not in CONVERSATIONS}
    if lists := [name for name, value in fields.items() if isinstance(value, list) and value and _is_row(value[0])]:
        if len(lists) > 1 and len(lists) == len(row):
            raise _several_lists(source, lists)
        if len(row) == 1:
            yield from _numbered(row[lists[0]], source)
            return
    elif _is_columns(row):
        fix = 'write it by rows (pandas: to_json(FILE, orient="records", lines=True))'
        raise PrunegridError(source, f"is one object of columns ({', '.join(row)})", fix)
    yield place, row


def _is_columns(row: Record) -> bool:
    """Whether each field holds the values of all rows, as pandas writes a table by default."""
    values = list(row.values())
    if len(values) > 1 and all(isinstance(value, dict) for value in values):
        return "0" in values[0] and all(value.keys() == values[0].keys() for value in values)
    return len(values) > 1 and all(isinstance(value, list) and isinstance((value or [0])[0], str) for value in values)
