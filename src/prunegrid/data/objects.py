"""The rows of the hub's data sets and of Python objects: of `datasets`, tables that Arrow reads, iterables of dicts."""

from collections.abc import Iterable, Iterator, Mapping
from math import isnan
from typing import Any

import pyarrow as pa

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import Record
from prunegrid.data.json_rows import PlacedRow
from prunegrid.experiment.dataset import DataRef

ROWS_PER_BATCH = 1000
FIX = "give a list of dicts, a datasets.Dataset, a DataFrame or the path of a file"


def hub_rows(ref: DataRef) -> Iterator[PlacedRow]:
    """(place, row) of each row of a data set of the hub, which `datasets` keeps in its cache."""
    from datasets import load_dataset  # takes seconds; the Snakefile imports this module
    from datasets.exceptions import DatasetsError

    if ref.sha256:
        problem = "sha256 applies to files, not to hub data sets"
        raise PrunegridError(ref.hub, problem, "remove sha256, and pin revision to a commit")
    try:
        data_set = load_dataset(ref.hub, ref.config, split=ref.split, revision=ref.revision)
    except (DatasetsError, OSError, ValueError) as error:
        fix = "check the id, config, split and revision, and the network; or give a local copy"
        raise PrunegridError(ref.hub, f"cannot be downloaded from the hub ({first_line(error)})", fix) from None
    yield from ((f"{ref.hub}: row {number}", row) for number, row in enumerate(_data_set_rows(data_set), 1))


def object_rows(source: Any, split: str) -> Iterator[PlacedRow]:
    """(place, row) of each row of `source`; `split` chooses from a `DatasetDict`.

    A row that is not a dict gives its `PrunegridError`; a source that has no rows of dicts raises one.
    """
    for index, row in enumerate(_rows(_split(source, split))):
        place = f"rows[{index}]"
        if isinstance(row, Mapping):
            yield place, {str(name): _as_json(value) for name, value in row.items()}
        else:
            problem = f"is a {type(row).__name__}, not a dict with named fields"
            yield place, PrunegridError(place, problem, "give each row as a dict")


def _as_json(value: Any) -> Any:
    """A value of NumPy as one of Python, and NaN, which pandas writes for an absent value, as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and isnan(value) else value


def _split(source: Any, split: str) -> Any:
    """A `DatasetDict`'s data set `split`; any other source unchanged."""
    if not isinstance(source, Mapping):
        return source
    if split in source and not isinstance(source[split], str | list):
        return source[split]
    names = ", ".join(map(str, source))
    if _is_of(source, "datasets"):
        raise PrunegridError("rows", f"no split {split} among {names}", "give split")
    raise PrunegridError("rows", f"is one dict ({names}), not a list of them", FIX)


def _rows(source: Any) -> Iterator[Any]:
    if _is_of(source, "datasets") and hasattr(source, "num_rows"):  # an IterableDataset has no number
        return _data_set_rows(source)
    if hasattr(source, "__arrow_c_stream__"):
        return _arrow_rows(source)
    if isinstance(source, Iterable) and not isinstance(source, str | bytes):
        return iter(source)
    raise PrunegridError("rows", f"is of type {type(source).__name__}, which has no rows", FIX)


def _data_set_rows(source: Any) -> Iterator[Record]:
    """The rows of a `datasets.Dataset`."""
    for batch in source.with_format("arrow").iter(ROWS_PER_BATCH):  # no image or sound is decoded
        yield from batch.to_pylist()


def _arrow_rows(source: Any) -> Iterator[Record]:
    try:
        for batch in pa.RecordBatchReader.from_stream(source):
            unnamed = [name for name in batch.schema.names if name.startswith("__index_level_")]  # of a pandas index
            batch = batch.drop_columns(unnamed)
            for start in range(0, len(batch), ROWS_PER_BATCH):
                yield from batch.slice(start, ROWS_PER_BATCH).to_pylist()
    except pa.ArrowException as error:
        raise PrunegridError("rows", f"cannot be read as a table ({first_line(error)})", FIX) from None


def _is_of(source: Any, package: str) -> bool:
    return type(source).__module__.partition(".")[0] == package
