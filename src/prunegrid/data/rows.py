"""The rows of a source (files, a data set of the hub, Python objects), one after another, each with its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record, repair, sha256sum
from prunegrid.data.formats import file_rows
from prunegrid.data.json_rows import PlacedRow
from prunegrid.data.objects import hub_rows, object_rows
from prunegrid.data.shapes.fields import BadRow
from prunegrid.data.sources import source_files
from prunegrid.experiment.dataset import DataRef, Dataset

SANDBOX = "sandbox"


@dataclass(frozen=True)
class Row:
    """A row of a source: its number from 0, its place for error messages (`data.jsonl:17`), and its values by field.

    `error` says why the row cannot be read, if bad rows are skipped: it has no values then, and is to be counted.
    """

    index: int
    place: str
    values: Record
    error: PrunegridError | None = None


def stream_rows(ref: DataRef, local: Any) -> Iterator[Row]:
    """The rows of `local`: a file, folder or glob, Python objects, or None for the hub's data set.

    Python objects: an iterable of dicts, a `datasets.Dataset` or `IterableDataset`, and all that Arrow reads (pandas,
    Polars, PyArrow). An unreadable row is a `PrunegridError`; with `on_bad_row: skip`, a row with `error`. A source
    without rows is a `PrunegridError`.
    """
    try:
        yield from _rows(ref, local)
    except PrunegridError as error:
        is_generated = local is not None and ref.hub is not None and ref.hub.startswith(f"{SANDBOX}/")
        # A file that the system does not let one read is not damaged.
        if not is_generated or (isinstance(error.__context__, OSError) and error.__context__.errno):
            raise
        raise PrunegridError(error.where, error.what, repair(Path(local))) from None  # the workflow has written it


def _rows(ref: DataRef, local: Any) -> Iterator[Row]:
    number = 0
    skips = isinstance(ref, Dataset) and ref.on_bad_row == "skip"
    for place, values in _placed_rows(ref, local):
        if not isinstance(values, PrunegridError):
            yield Row(number, place, values)
        elif skips:
            yield Row(number, place, {}, values)
        else:
            raise BadRow(values.where, values.what, values.fix) if isinstance(ref, Dataset) else values
        number += 1
    if not number:
        source = local if isinstance(local, str | Path) else ref.hub if local is None else "rows"
        raise PrunegridError(source, "holds no rows", "give at least one")


def _placed_rows(ref: DataRef, local: Any) -> Iterator[PlacedRow]:
    if local is None:
        return hub_rows(ref)
    if not isinstance(local, str | Path):
        return object_rows(local, ref.split)
    files = source_files(ref, str(local)).files
    if ref.sha256:
        _check_digest(str(local), files, ref.sha256)
    return chain.from_iterable(map(file_rows, files))


def _check_digest(local: str, files: list[Path], expected: str) -> None:
    """Refuse a file of another SHA-256 than the config's; an absent one is refused by who reads it."""
    if files != [Path(local)]:
        problem = "sha256 applies to one file, not to a folder or glob"
        raise PrunegridError(local, problem, "remove sha256, or put the rows in one file")
    if files[0].exists() and (digest := sha256sum(files[0])) != expected:
        problem = f"its SHA-256 is {digest}, not the config's {expected}"
        raise PrunegridError(local, problem, "fetch it again, or correct the config")
