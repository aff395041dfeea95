"""Rows of CSV, TSV and their like: a header of names, then texts."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.data.compression import plain
from prunegrid.data.json_rows import PlacedRow

DELIMITERS = ",\t;|"
LONGEST_FIELD = 1 << 26  # characters; a quote that is never closed ends there


def delimiter(head: str) -> str | None:
    """What separates the fields of a text that begins with `head`: its first two records have equally many."""
    counts = {mark: _fields(head, mark) for mark in DELIMITERS}
    alike = {mark: first for mark, (first, second) in counts.items() if first > 1 and second in (first, 0)}
    return max(alike, key=lambda mark: alike[mark]) if alike else None


def _fields(head: str, mark: str) -> tuple[int, int]:
    """The numbers of fields of the first two records; 0 for a record that is not there."""
    try:
        records = [record for record in csv.reader(io.StringIO(head, newline=""), delimiter=mark) if record]
    except csv.Error:
        return 0, 0
    first, second = ([len(record) for record in records] + [0, 0])[:2]
    return first, second


def csv_rows(path: Path, mark: str) -> Iterator[PlacedRow]:
    """The rows of a file with a header; a row with another number of fields gives its error."""
    csv.field_size_limit(LONGEST_FIELD)
    with plain(path) as stream:
        # The lines end as the file's do: quoted fields keep their line breaks.
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            yield from _records(csv.reader(lines, delimiter=mark, strict=True), str(path))
        except UnicodeDecodeError as error:
            raise PrunegridError(path, f"is not UTF-8 text ({error})", "save it as UTF-8") from None
        finally:
            lines.detach()


def _records(reader: Iterator[list[str]], source: str) -> Iterator[PlacedRow]:
    names: list[str] | None = None
    number = 0
    while True:
        place = f"{source}: row {number + 1}"
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            record, problem = [], f"is not CSV ({error})"
        else:
            if not record:
                continue
            if names is None:
                names = _header(record, source)
                continue
            problem = f"has {len(record)} fields, the header {len(names)} ({', '.join(names)})"
        number += 1
        if names is not None and len(record) == len(names):
            yield place, dict(zip(names, record, strict=True))
        else:
            yield place, PrunegridError(place, problem, "quote fields that hold a separator, a quote or a line break")


def _header(record: list[str], source: str) -> list[str]:
    """The names of the columns; a first one without a name is pandas' index, another is called by its number."""
    names = [name.strip() or ("index" if number == 1 else f"column {number}") for number, name in enumerate(record, 1)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise PrunegridError(source, f"its header has {', '.join(twice)} more than once", "rename the columns")
    return names
