"""Rows of Parquet and Arrow files (IPC files, Feather, IPC streams), a batch at a time."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.data.compression import seekable
from prunegrid.data.json_rows import PlacedRow

ROWS_PER_BATCH = 1000
DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""What Arrow raises of damaged names, lengths and texts, and of dates that Python has not."""


def arrow_rows(path: Path, kind: str) -> Iterator[PlacedRow]:
    """The rows of a file of `kind` Parquet, Arrow file or Arrow stream; damage is a `PrunegridError`."""
    number = 0
    with seekable(path) as file:
        try:
            for batch in _batches(file, kind, path):
                batch.validate(full=True)  # a damaged offset or text is an error, not a crash
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno:
                raise
            problem = f"is damaged, or not the {kind} that it begins as ({first_line(error)})"
            raise PrunegridError(path, problem, "fetch or write it again") from None


def _batches(file: Any, kind: str, path: Path) -> Iterator[pa.RecordBatch]:
    if kind == "Parquet":
        table = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True)
        _check_names(table.schema_arrow, path)
        yield from table.iter_batches(ROWS_PER_BATCH)
        return
    reader = pa.ipc.open_file(file) if kind == "Arrow file" else pa.ipc.open_stream(file)
    _check_names(reader.schema, path)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if kind == "Arrow file" else reader
    for batch in batches:
        for start in range(0, len(batch), ROWS_PER_BATCH):
            yield batch.slice(start, ROWS_PER_BATCH)


def _check_names(schema: pa.Schema, path: Path) -> None:
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise PrunegridError(path, f"has the column {', '.join(twice)} more than once", "rename the columns")
