"""A column of vectors, one float16[D] a sample: an Arrow file that is mapped into memory, so that n x D may exceed it.

`extra/<name>.arrow`, uncompressed and one record batch: `sample_id`, a list of D numbers, and in the schema's metadata
the digests of what the column was made from.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import draft, opening, repair, replacing
from prunegrid.core.ragged import Ints, first_infinite

DIGESTS = b"prunegrid"  # key of the metadata of an optional score's file: digests of what it was made from


class Vectors(NamedTuple):
    """The vectors [n, D] of the samples `sample_id`, and the digests of what they were made from."""

    sample_id: Ints
    values: NDArray[np.float16]
    digests: dict[str, str]


def write_vectors(path: Path, name: str, sample_id: Ints, values: NDArray[Any], digests: dict[str, str]) -> None:
    """Write the column `name`; refuse a value that float16 cannot hold."""
    with np.errstate(over="ignore"):  # reported below
        half = values.astype(np.float16, copy=False)
    if row := first_infinite(half):
        problem = f"{name} of sample_id {sample_id[row[0]]} is not finite, or exceeds float16"
        raise PrunegridError(path, problem, "leave the column out, or take another model")
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(half).reshape(-1)), half.shape[1])
    batch = pa.record_batch({"sample_id": pa.array(sample_id, pa.int64()), name: lists})
    batch = batch.replace_schema_metadata({DIGESTS: json.dumps(digests)})
    with replacing(path) as temporary, pa.ipc.new_file(str(temporary), batch.schema) as writer:
        writer.write_batch(batch)


def concatenate_vectors(parts: Sequence[Path], out: Path) -> None:
    """Write the rows of all parts in order, by way of a file: they may exceed the memory."""
    columns = [read_vectors(part) for part in parts]
    size, width = sum(len(column.sample_id) for column in columns), columns[0].values.shape[1]
    with draft(out.with_suffix(".npy")) as temporary:
        values = open_memmap(temporary, "w+", np.float16, (size, width))
        np.concatenate([column.values for column in columns], out=values)
        ids = np.concatenate([column.sample_id for column in columns])
        write_vectors(out, out.stem, ids, values, columns[0].digests)


def read_vectors(path: Path) -> Vectors:
    """The column of the file, whose values are not read before they are used; a damaged file is a `PrunegridError`."""
    with opening(path):
        try:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            (batch,) = (file.get_batch(number) for number in range(file.num_record_batches))
            ids, lists = batch.columns
            values = lists.flatten().to_numpy().reshape(len(batch), lists.type.list_size)
            sample_id = ids.to_numpy()
        except (pa.ArrowException, OSError, ValueError, AttributeError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            problem = f"damaged, or no column of vectors ({first_line(error)})"
            raise PrunegridError(path, problem, repair(path)) from None
    digests: dict[str, str] = json.loads((file.schema.metadata or {}).get(DIGESTS, b"{}"))
    return Vectors(sample_id, values, digests)
