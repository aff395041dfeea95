"""The rows of a source (a file, or a data set of the hub), one after another, each with the place where it stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record, read_records, repair, sha256sum
from prunegrid.experiment.sections import DataRef

SANDBOX = "sandbox"


@dataclass(frozen=True)
class Row:
    """A row of a source: its number from 0, its place for error messages (`data.jsonl:17`), and its values by field."""

    index: int
    place: str
    values: Record


def stream_rows(ref: DataRef, local: str | None) -> Iterator[Row]:
    """The rows of the file `local`, or of the hub's data set; an unreadable row is a `PrunegridError`."""
    source = local or str(ref.hub)
    for index, values in enumerate(_hub_rows(ref) if local is None else _file_rows(ref, local)):
        yield Row(index, f"{source}:{index + 1}", values)


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
