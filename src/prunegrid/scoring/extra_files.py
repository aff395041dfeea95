"""The files of optional scores, `extra/<name>.parquet` or, of vectors, `extra/<name>.arrow`, and their digests."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core.columns import Stretch, read_columns
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, parquet_writer, replacing, write_parquet
from prunegrid.core.ragged import Ints
from prunegrid.experiment import layout
from prunegrid.pruners.columns import EXTRAS, VECTOR_EXTRAS
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.vectors import DIGESTS, concatenate_vectors, read_vectors, write_vectors
from prunegrid.scoring.writer import concatenate, list_column


def extra_file(scores: Path, column: str) -> Path:
    """Where the optional score `column` of the scores is, if it is there; a user's own may be vectors."""
    vectors = scores / layout.EXTRA / f"{column}{layout.VECTORS}"
    return vectors if column not in EXTRAS and vectors.exists() else scores / layout.EXTRA / layout.extra_name(column)


def extra_names(scores: Path) -> list[str]:
    """The optional scores that are there."""
    files = (scores / layout.EXTRA).glob("[!.]*")
    return sorted(file.stem for file in files if file.suffix in (".parquet", layout.VECTORS))


def extra_kind(file: Path, column: str) -> str:
    """sample or token: what the optional score `column` in the file has a value for. Vectors are of samples."""
    if file.suffix == layout.VECTORS:
        return "sample"
    schema = parquet_schema(file)
    kind = schema.field(column).type if column in schema.names else pa.null()
    return "token" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else "sample"


def source_digests(file: Path) -> dict[str, str]:
    """Digests of what the optional score was made from; none in a hand-made file."""
    if file.suffix == layout.VECTORS:
        return read_vectors(file).digests
    digests: dict[str, str] = json.loads((parquet_schema(file).metadata or {}).get(DIGESTS, b"{}"))
    return digests


def read_sample_columns(
    file: Path, names: list[str], stretch: Stretch | None = None
) -> tuple[Ints, dict[str, NDArray[Any]]]:
    """`sample_id` and the columns: float64[n] each, or float16[n, D], mapped into memory. A null becomes NaN.

    Of all rows, or of a stretch of them.
    """
    if file.suffix == layout.VECTORS:
        vectors = read_vectors(file)
        part = slice(*(stretch or (None, None)))
        return vectors.sample_id[part], dict.fromkeys(names, vectors.values[part])
    if lists := [name for name in names if extra_kind(file, name) == "token"]:
        raise PrunegridError(file, f"{lists[0]} has a list for each sample, not a number", "read it as a token column")
    columns = read_columns(file, {"sample_id": np.int64, **dict.fromkeys(names, np.float64)}, stretch)
    return columns.pop("sample_id"), columns


def write_column(
    file: Path, name: str, sequences: Sequences, values: NDArray[np.floating[Any]], digests: dict[str, str]
) -> None:
    """Write the optional score `name`: a float32 or a float16[D] a sample, or a list of a float32 a response token."""
    if name in VECTOR_EXTRAS:
        write_vectors(file, name, sequences.sample_id_N, values, digests)
        return
    by_token = EXTRAS[name] == "token"
    column = list_column(sequences, values, 0, len(sequences)) if by_token else pa.array(values, pa.float32())
    table = pa.table({"sample_id": pa.array(sequences.sample_id_N, pa.int64()), name: column})
    write_parquet(file, table.replace_schema_metadata({DIGESTS: json.dumps(digests)}), row_group_size=4096)


def write_tables(file: Path, tables: Iterator[pa.Table], digests: dict[str, str]) -> None:
    """Write an optional score whose rows come table by table."""
    first = next(tables)
    schema = first.schema.with_metadata({DIGESTS: json.dumps(digests)})
    with replacing(file) as temporary, parquet_writer(temporary, schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table, row_group_size=4096)


def gather_extras(shards: Sequence[Path], out: Path, names: Sequence[str]) -> None:
    """Concatenate the optional scores `names` of the folders of shards 1, 2, ... n, for the scores `out`."""
    for name in names:
        parts, file = [extra_file(shard, name) for shard in shards], extra_file(out, name)
        if name in VECTOR_EXTRAS:
            concatenate_vectors(parts, file)
        else:
            with replacing(file) as temporary:
                concatenate(parts, temporary)
