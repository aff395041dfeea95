"""Columns of a Parquet file as arrays, and stretches of its rows: neither needs memory for the rest of the file."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import open_parquet, pieces, read_parquet, reading, repair

BATCH = 65_536


class Stretch(NamedTuple):
    """Rows of a table, from `start` up to `stop`."""

    start: int
    stop: int

    @classmethod
    def of(cls, rows: int, shard: tuple[int, int]) -> "Stretch":
        """The i-th of n stretches of so many rows, `shard` (i, n), whose sizes differ by one at most."""
        number, shards = shard
        return cls(rows * (number - 1) // shards, rows * number // shards)


def parquet_metadata(path: Path) -> dict[bytes, bytes]:
    """The file's key-value metadata; errors as in `read_parquet`."""
    with reading(path):
        return dict(open_parquet(path).metadata.metadata or {})


def read_columns(path: Path, kinds: Mapping[str, Any], stretch: Stretch | None = None) -> dict[str, NDArray[Any]]:
    """The columns as arrays of the NumPy types `kinds`, of all rows or of a stretch; errors as in `read_parquet`.

    The arrays are filled batch by batch, so that no column is in memory twice. A null becomes NaN where the type has
    one; elsewhere it is refused.
    """
    with reading(path):
        file = open_parquet(path, list(kinds))
        part = stretch or Stretch(0, file.metadata.num_rows)
        arrays = {name: np.empty(part.stop - part.start, kind) for name, kind in kinds.items()}
        place = 0
        for batch in _batches(file, list(kinds), part, BATCH):
            for name, array in arrays.items():
                array[place : place + len(batch)] = _values(batch.column(name), array.dtype, name, path)
            place += len(batch)
        return arrays


def read_rows(path: Path, columns: Sequence[str], stretch: Stretch | None = None) -> pa.Table:
    """The columns of all rows, or of a stretch of them."""
    if stretch is None:
        return read_parquet(path, columns)
    with reading(path):
        file = open_parquet(path, columns)
        schema = file.schema_arrow.empty_table().select(list(columns)).schema
        return pa.Table.from_batches(_batches(file, list(columns), stretch, BATCH), schema)


def stream_rows(path: Path, columns: Sequence[str], sizes: Sequence[int], start: int) -> Iterator[pa.Table]:
    """The rows from `start` on in pieces of `sizes` rows, and no more; only the row groups that hold them are read."""
    with reading(path):
        file = open_parquet(path, columns)
        empty = file.schema_arrow.empty_table().select(list(columns))
        yield from pieces(_batches(file, list(columns), Stretch(start, start + sum(sizes)), 1024), empty, sizes)


def _values(column: pa.Array, kind: np.dtype[Any], name: str, path: Path) -> NDArray[Any]:
    if column.null_count and kind.kind != "f":
        raise PrunegridError(path, f"column {name} has nulls", repair(path))
    values: NDArray[Any] = column.cast(pa.from_numpy_dtype(kind)).to_numpy(zero_copy_only=False)
    return values


def _batches(file: pq.ParquetFile, columns: list[str], stretch: Stretch, size: int) -> Iterator[pa.RecordBatch]:
    """The rows of the stretch, at most `size` at a time."""
    rows = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
    groups = np.flatnonzero((starts[1:] > stretch.start) & (starts[:-1] < stretch.stop)).tolist()
    place = int(starts[groups[0]]) if groups else 0
    for batch in file.iter_batches(size, row_groups=groups, columns=columns):
        first, last = max(stretch.start - place, 0), min(stretch.stop - place, len(batch))
        place += len(batch)
        if first < last:
            part = batch.slice(first, last - first)
            part.validate(full=True)
            yield part
