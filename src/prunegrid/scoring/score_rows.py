"""Rows of a file of scores that something else made: whose each is, and its number or list.

Parquet is read by column. Everything else that `data` reads (JSON lines, a JSON array, compressed or not) is read row
by row. What cannot be used is one `PrunegridError` with the place of the row.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import parquet_schema, read_parquet
from prunegrid.data.compression import plain
from prunegrid.data.formats import file_rows

ANSWER = ("sample_id", "row", "turn")  # ids that are whole numbers; others are compared as text
REWRITE = "write the file again"
TOKEN_LISTS = pa.large_list(pa.float32())


@dataclass(frozen=True)
class ScoreRows:
    """m rows: `ids`, a column each, int64 or text; `values`, float64 or lists of float32, null without one."""

    path: Path
    column: str
    ids: Mapping[str, pa.Array]
    values: pa.Array

    def __len__(self) -> int:
        return len(self.values)

    @property
    def by_token(self) -> bool:
        return not pa.types.is_floating(self.values.type)

    def place(self, row: int) -> str:
        """Where the row stands in the file: a line, or a row of Parquet."""
        return place_of(self.path, row)


def read_rows(path: Path, name: str, column: str | None, ids: str | Mapping[str, str] | None) -> ScoreRows:
    """The scores `name` of the file. `column` and `ids` are those of the section `scores`; {} for an empty `ids` means
    that rows count.
    """
    columns = _column_names(path)
    chosen = column or (name if name in columns or "score" not in columns else "score")
    keys = _key_columns(path, ids, columns)
    read = _parquet_columns if _is_parquet(path) else _row_columns
    values, *identities = read(path, [chosen, *keys.values()])
    if values.null_count == len(values):
        raise PrunegridError(path, f"has no scores in {chosen}, only the columns {', '.join(columns)}", "set column")
    identified = {key: _identity(path, key, given) for key, given in zip(keys, identities, strict=True)}
    return ScoreRows(path, chosen, identified, values)


def place_of(path: Path, row: int) -> str:
    """Where a row of the file stands: a line, or a row of Parquet."""
    return next(islice(file_rows(path), int(row), None))[0]


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        raise PrunegridError(path, "no such file", "write it, or correct the path of the scores")
    with plain(path) as stream:
        return stream.read(4) == b"PAR1"


def _column_names(path: Path) -> list[str]:
    if _is_parquet(path):
        return list(parquet_schema(path).names)
    first = next(iter(file_rows(path)), None)
    if first is None:
        raise PrunegridError(path, "holds no rows", "give a row for each sample")
    if isinstance(first[1], PrunegridError):
        raise first[1]
    return list(first[1])


def _key_columns(path: Path, ids: str | Mapping[str, str] | None, columns: Sequence[str]) -> Mapping[str, str]:
    """What a row is told by (a column of the samples, or one that the data carry), and the file's name for it."""
    if isinstance(ids, Mapping):
        return ids
    name = ids or next((name for name in ("sample_id", "row") if name in columns), None)
    if name is None:
        problem = f"has no sample_id and no row, only {', '.join(columns)}"
        raise PrunegridError(path, problem, "set id to the column that identifies the sample, or to order")
    return {name: name} | ({"turn": "turn"} if name == "row" and "turn" in columns else {})


def _parquet_columns(path: Path, names: Sequence[str]) -> list[pa.Array]:
    """The columns, each of which may be a field within another (`a.b`), scores first."""
    schema = parquet_schema(path)
    roots = [name if name in schema.names else name.partition(".")[0] for name in names]
    table = read_parquet(path, list(dict.fromkeys(roots)), fix=f"name other columns, or {REWRITE}")
    columns = []
    for name, root in zip(names, roots, strict=True):
        column = table[root].combine_chunks()
        if name != root:
            column = _field(path, name, column)
        columns.append(column)
    return [_numbers(path, names[0], columns[0]), *columns[1:]]


def _field(path: Path, name: str, column: pa.Array) -> pa.Array:
    try:
        return pc.struct_field(column, name.split(".")[1:])
    except pa.ArrowException:
        raise PrunegridError(path, f"has no column {name}", "set column to one that exists") from None


def _numbers(path: Path, name: str, column: pa.Array) -> pa.Array:
    """float64, or lists of it; a column of anything else is refused."""
    kind, types = column.type, pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    number = kind.value_type if is_list else kind
    if not (types.is_integer(number) or types.is_floating(number) or types.is_decimal(number)):
        problem = f"column {name} is {kind}, not numbers (or a list of numbers for each sample)"
        raise PrunegridError(path, problem, "set column to the scores, or write them as numbers")
    return column.cast(TOKEN_LISTS if is_list else pa.float64(), safe=False)


def _row_columns(path: Path, names: Sequence[str]) -> list[pa.Array]:
    """As `_parquet_columns`, from rows one after another."""
    scores: list[Any] = []
    identities: list[list[Any]] = [[] for _ in names[1:]]
    for place, row in file_rows(path):
        if isinstance(row, PrunegridError):
            raise row
        scores.append(_score(place, names[0], _value(row, names[0])))
        for name, column in zip(names[1:], identities, strict=True):
            column.append(_value(row, name))
    return [_score_array(path, names[0], scores), *map(_identities, repeat(path), names[1:], identities)]


def _value(row: Mapping[str, Any], name: str) -> Any:
    """The field `name`, or `outer.inner`; None without it."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _score(place: str, name: str, value: Any) -> Any:
    """A number, a list of numbers, or None; others are refused."""
    if isinstance(value, list):
        return [_score(place, name, math.nan if part is None else part) for part in value]
    if value is None or isinstance(value, float):
        return value
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass  # a whole number beyond floating point
    text = f"{value!r}"[:60]
    raise PrunegridError(place, f"{name} is {text}, not a number", "write numbers without quotes, null for no score")


def _score_array(path: Path, name: str, scores: Sequence[Any]) -> pa.Array:
    """float64, or lists of float32: rows have either."""
    lists = [isinstance(score, list) for score in scores if score is not None]
    if any(lists) and not all(lists):
        row = [score is not None and isinstance(score, list) is not lists[0] for score in scores].index(True)
        kinds = ("a number", "lists") if lists[0] else ("a list", "numbers")
        problem = f"{name} is {kinds[0]}, where earlier rows have {kinds[1]}"
        raise PrunegridError(place_of(path, row), problem, "give all rows the same")
    return pa.array(scores, TOKEN_LISTS if any(lists) else pa.float64())


def _identities(path: Path, name: str, values: Sequence[Any]) -> pa.Array:
    """Ids of one kind; a file that mixes numbers and texts has texts."""
    try:
        return pa.array(values) if not _has_text(values) else pa.array([_text(value) for value in values])
    except (pa.ArrowException, OverflowError) as error:
        raise PrunegridError(
            path, f"column {name} cannot be ids ({first_line(error)})", "write numbers or texts"
        ) from None


def _has_text(values: Iterable[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _identity(path: Path, key: str, column: pa.Array) -> pa.Array:
    """An id of every row: int64 for those of answers, else text."""
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise PrunegridError(place_of(path, row), f"has no {key}", "give every row one, or set id to another column")
    kind = pa.int64() if key in ANSWER else pa.string()
    try:
        if key in ANSWER and not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise pa.ArrowInvalid(f"it holds {column.type}")
        return column.cast(kind)
    except pa.ArrowException as error:
        problem = f"{key} must be {'whole numbers' if key in ANSWER else 'numbers or texts'} ({first_line(error)})"
        raise PrunegridError(path, problem, REWRITE) from None


def first_duplicate(key: pa.Array) -> tuple[int, int] | None:
    """The first row whose key an earlier row has, behind that one; None if keys are distinct."""
    codes = key.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    if len(first) == len(codes):
        return None
    second = int(np.flatnonzero(first[inverse] != np.arange(len(codes)))[0])
    return int(first[inverse[second]]), second


def joined(columns: Iterator[pa.Array] | Sequence[pa.Array]) -> pa.Array:
    """One key of several columns: the column itself, or their texts side by side."""
    parts = list(columns)
    if len(parts) == 1:
        return parts[0]
    return pc.binary_join_element_wise(*(part.cast(pa.string()) for part in parts), "\x1f")
