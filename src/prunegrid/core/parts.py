"""A table by `sample_id`, in one Parquet file or in a folder of parts: `00001-of-00003.parquet` and so on.

Readers take either: the path of the file or of the folder. Parts are stretches of one table, written by separate jobs.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, pieces, read_batches, read_parquet, repair, sha256, stream_parquet

KEY = "sample_id"
NAME = re.compile(r"(\d{5})-of-(\d{5})\.parquet")


def find_table(file: Path) -> Path:
    """The table of that file: itself, or the folder of its parts, of the same name without a suffix, if it is there."""
    folder = file.with_suffix("")
    return folder if folder.is_dir() and not file.exists() else file


def part_name(number: int, parts: int) -> str:
    """The name of part 1 up to `parts`, without the suffix of its file."""
    return f"{number:05d}-of-{parts:05d}"


def find_parts(path: Path) -> list[Path]:
    """The files of the table `path`, in order; parts that are not all there are refused."""
    if not path.is_dir():
        return [path]
    parts = sorted(file for file in path.iterdir() if NAME.fullmatch(file.name))
    totals = {file.name[9:14] for file in parts}
    count = int(parts[0].name[9:14]) if parts else 0
    if len(totals) != 1 or [file.stem for file in parts] != [part_name(i, count) for i in range(1, count + 1)]:
        problem = f"holds {len(parts)} parts of {' and '.join(sorted(totals)) or 'none'}, not one complete table"
        raise PrunegridError(path, problem, f"cut the missing shards, or {repair(path)}")
    return parts


def remove_others(folder: Path, files: Sequence[Path] = ()) -> None:
    """Remove the parts in `folder` that are none of `files`, and the folder if nothing is left in it."""
    if folder.is_dir():
        for file in folder.iterdir():
            if NAME.fullmatch(file.name) and file not in files:
                file.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def parts_digest(path: Path) -> str:
    """SHA-256 over the files' SHA-256, in order; of one file `files.sha256`."""
    return sha256(*find_parts(path))


def parts_columns(path: Path) -> list[str]:
    """The names of the table's columns."""
    names: list[str] = parquet_schema(find_parts(path)[0]).names
    return names


def read_parts(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole table, or only `columns` of it; that of several parts by ascending `sample_id`."""
    files = find_parts(path)
    if len(files) == 1:
        return read_parquet(files[0], columns)
    names = None if columns is None else list(dict.fromkeys([*columns, KEY]))
    table = pa.concat_tables([read_parquet(file, names) for file in files])
    ids = table[KEY].to_numpy()
    if not np.all(ids[1:] > ids[:-1]):  # the scores were in another order
        table = table.sort_by(KEY)
    return table if columns is None else table.select(list(columns))


def stream_parts(path: Path, columns: Sequence[str], sizes: Sequence[int]) -> Iterator[pa.Table]:
    """The table in pieces of `sizes` rows, then the rest, if any, as `stream_parquet` gives that of one file.

    Only where the ids of several parts overlap is the table read as a whole.
    """
    files = find_parts(path)
    if len(files) == 1:
        return stream_parquet(files[0], columns, sizes)
    batches: Iterator[pa.RecordBatch] = chain.from_iterable(read_batches(file, 1024, columns) for file in files)
    if not _follow_each_other(files):
        batches = iter(read_parts(path, columns).to_batches())
    return pieces(batches, parquet_schema(files[0]).empty_table().select(list(columns)), sizes)


def _follow_each_other(files: list[Path]) -> bool:
    """Whether each part's ids are above those of the parts before it."""
    ids = [table[KEY].to_numpy() for table in (read_parquet(file, [KEY]) for file in files)]
    ends = [(column[0], column[-1]) for column in ids if len(column)]
    ascending = all(np.all(column[1:] > column[:-1]) for column in ids)
    return ascending and all(before[1] < after[0] for before, after in pairwise(ends))
