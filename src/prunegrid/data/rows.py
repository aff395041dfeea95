"""The rows of a source (files, a data set of the hub, Python objects), one after another, each with its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record, read_records, repair, sha256sum
from prunegrid.data.objects import object_rows
from prunegrid.experiment.sections import DataRef

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
    Polars, PyArrow). An unreadable row is a `PrunegridError`; with `on_bad_row: skip`, a row with `error`.
    """
    for index, (place, values) in enumerate(_places(ref, local)):
        if not isinstance(values, PrunegridError):
            yield Row(index, place, values)
        elif getattr(ref, "on_bad_row", "error") == "skip":
            yield Row(index, place, {}, values)
        else:
            raise values


def _places(ref: DataRef, local: Any) -> Iterator[tuple[str, Record | PrunegridError]]:
    if local is None:
        yield from ((f"{ref.hub}: row {number}", row) for number, row in enumerate(_hub_rows(ref), 1))
    elif isinstance(local, str | Path):
        yield from ((f"{local}:{number}", row) for number, row in enumerate(_file_rows(ref, str(local)), 1))
    else:
        yield from object_rows(local, ref.split)


def _hub_rows(ref: DataRef) -> Iterator[Record]:
    from datasets import load_dataset  # takes seconds; the Snakefile imports this module

    if ref.sha256:
        problem = "sha256 applies to files, not to hub data sets"
        raise PrunegridError(ref.hub, problem, "remove sha256, and pin revision to a commit")
    yield from load_dataset(ref.hub, ref.config, split=ref.split, revision=ref.revision)


def _file_rows(ref: DataRef, local: str) -> list[Record]:
    path = Path(local)
    if ref.sha256 and path.is_file() and (digest := sha256sum(path)) != ref.sha256:
        problem = f"its SHA-256 is {digest}, not the config's {ref.sha256}"
        raise PrunegridError(local, problem, "fetch it again, or correct the config")
    is_generated = ref.hub is not None and ref.hub.startswith(f"{SANDBOX}/")
    return read_records(path, repair(path) if is_generated else "")
