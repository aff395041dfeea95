"""Read and write the files between steps: written whole or not at all; a damaged file is named with its repair."""

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from prunegrid.core.disk_errors import RERUN, writing
from prunegrid.core.errors import PrunegridError, first_line

Record = dict[str, Any]
"""A row of a file, by column."""

PARQUET: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
"""How every Parquet file is written: each page with a checksum, which every reader here verifies."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (file or folder), renamed to `path` only if the block succeeds.

    A block that fails leaves nothing behind, not even a folder created for it. A full or read-only disk is a
    `PrunegridError`.
    """
    with draft(path) as temporary:
        yield temporary
        replace(temporary, path)


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`, which is removed after the block if `replace` has not renamed it."""
    new_folder = not path.parent.is_dir()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        try:
            yield temporary
        finally:
            _remove(temporary)
            if new_folder and not any(path.parent.iterdir()):
                path.parent.rmdir()


def replace(temporary: Path, path: Path) -> None:
    """Rename the file or folder `temporary` to `path`, in place of a file or folder that is there."""
    if path.is_dir():
        shutil.rmtree(path)
    temporary.replace(path)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary siblings of `path` whose process was killed."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.name.split(".")[-2]
        if process.isdigit() and not _is_running(int(process)):
            _remove(leftover)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN is refused, as it is by other readers of JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, table: pa.Table, row_group_size: int = 50_000) -> None:
    with replacing(path) as temporary:
        pq.write_table(table, temporary, row_group_size=row_group_size, **PARQUET)


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Writes a file of this schema table by table, as `write_parquet` does."""
    return pq.ParquetWriter(path, schema, **PARQUET)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def read_json(path: Path, fix: str = "") -> Any:
    """The file's content; a missing or damaged file is a `PrunegridError`.

    `fix` says how to repair a damaged file; by default, `repair(path)`.
    """
    with opening(path):
        try:
            return json.loads(path.read_text())
        except ValueError as error:  # not UTF-8, not JSON, or a number of thousands of digits
            raise PrunegridError(path, f"not complete JSON ({error})", fix or repair(path)) from None


def read_parquet(path: Path, columns: Sequence[str] | None = None, fix: str = "") -> pa.Table:
    """The file's table, or only `columns` of it; damage and missing columns are a `PrunegridError` with `fix`."""
    with reading(path, fix):
        table = open_parquet(path, columns, fix).read(columns=None if columns is None else list(columns))
        table.validate(full=True)  # text that is not UTF-8 would fail somewhere else, later
        return table


def parquet_schema(path: Path) -> pa.Schema:
    """The file's columns, with its key-value metadata; errors as in `read_parquet`."""
    with reading(path):
        return open_parquet(path).schema_arrow


def parquet_rows(path: Path) -> int:
    """The file's number of rows; errors as in `read_parquet`."""
    with reading(path):
        rows: int = open_parquet(path).metadata.num_rows
        return rows


def read_batches(path: Path, size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The file's rows, or only `columns` of them, at most `size` in memory at a time; errors as in `read_parquet`."""
    with reading(path):
        yield from _batches(open_parquet(path, columns), size, columns)


def _batches(file: pq.ParquetFile, size: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches(size, columns=None if columns is None else list(columns)):
        batch.validate(full=True)
        yield batch


def stream_parquet(path: Path, columns: Sequence[str], sizes: Sequence[int]) -> Iterator[pa.Table]:
    """The file's table in pieces of `sizes` rows, then the rest, if any; errors as in `read_parquet`.

    Neither the pieces nor the memory they take depend on the size of the file's row groups.
    """
    with reading(path):
        file = open_parquet(path, columns)
        empty = file.schema_arrow.empty_table().select(list(columns))
        yield from pieces(_batches(file, 1024, columns), empty, sizes)


def pieces(batches: Iterator[pa.RecordBatch], empty: pa.Table, sizes: Sequence[int]) -> Iterator[pa.Table]:
    """The rows of `batches` in pieces of `sizes` rows, then the rest, if any; `empty` has their columns."""
    tables = (pa.Table.from_batches([batch]) for batch in batches)
    surplus = empty  # batches do not end where pieces do: the rows beyond a piece's end wait here for the next one
    for size in sizes:
        parts = [surplus]
        while sum(map(len, parts)) < size and (table := next(tables, None)) is not None:
            parts.append(table)
        rows = pa.concat_tables(parts)  # copies nothing: slices of it share the batches' memory
        yield rows[:size]
        surplus = rows[size:]
    rest = pa.concat_tables([surplus, *tables])
    if len(rest):
        yield rest


def open_parquet(path: Path, columns: Sequence[str] | None = None, fix: str = "") -> pq.ParquetFile:
    file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True)
    names = file.schema_arrow.names
    if missing := sorted(set(columns or ()) - set(names)):
        raise PrunegridError(path, f"no column {', '.join(missing)} among {', '.join(names)}", fix or repair(path))
    return file


@contextmanager
def reading(path: Path, fix: str = "") -> Iterator[None]:
    with opening(path):
        try:
            yield
        except (PrunegridError, GeneratorExit):
            raise
        except Exception as error:  # of a changed bit, Arrow's readers raise whatever it leads to
            if isinstance(error, OSError) and error.errno:
                raise
            damage = f"damaged or not Parquet ({first_line(error)})"
            if isinstance(error, MemoryError):
                damage = f"damaged, or too large for this machine's memory ({first_line(error)})"
            raise PrunegridError(path, damage, fix or repair(path)) from None


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Report that the system refuses to open or read `path`, regardless of its content."""
    try:
        yield
    except FileNotFoundError:
        raise PrunegridError(path, "no such file", "correct the path, or run the step that writes it") from None
    except OSError as error:
        if path.is_dir():
            raise PrunegridError(path, "is a folder, not a file", f"move it away, {RERUN}") from None
        words = os.strerror(error.errno) if error.errno else first_line(error)
        problem, fix = f"cannot be read ({words})", f"check its permissions and its disk, {RERUN}"
        raise PrunegridError(path, problem, fix) from None


def read_records(path: Path, fix: str = "") -> list[Record]:
    """The rows of a JSON lines or Parquet file; an absent, empty or damaged one is a `PrunegridError`.

    `fix` says how to repair a damaged file that a step has written; without it the file is the user's own.
    """
    if not path.exists():
        raise PrunegridError(path, "no such file", "name an existing one")
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = read_parquet(path, fix=fix or "fetch or write it again").to_pylist()
    else:
        with opening(path):
            rows = list(_json_lines(path, fix))
    if not rows:
        raise PrunegridError(path, "holds no rows", fix or "give a file with at least one")
    return rows


def _json_lines(path: Path, fix: str) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _json_object(line, f"{path}:{number}", fix)
    except UnicodeDecodeError as error:
        raise PrunegridError(path, f"is not UTF-8 text ({error})", fix or "save it as UTF-8") from None


def _json_object(line: str, place: str, fix: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise PrunegridError(place, f"is not JSON ({error})", fix or "write one JSON object a line") from None
    if not isinstance(row, dict):
        problem = f"is a {type(row).__name__}, not an object with named fields"
        raise PrunegridError(place, problem, fix or "write one JSON object a line")
    return row


class Damage(NamedTuple):
    """A file, named relative to its folder, and what is wrong with it."""

    name: str
    problem: str


def damaged_file(folder: Path, sizes: Mapping[str, int]) -> Damage | None:
    """The first of the files `sizes` (names relative to `folder`, bytes) that is missing or has another size."""
    for name, size in sizes.items():
        file = folder / name
        if not file.is_file():
            return Damage(name, "is missing")
        if (actual := file.stat().st_size) != size:
            return Damage(name, f"is truncated or changed: {actual} of {size} bytes")
    return None


def repair(path: Path, named: bool = False) -> str:
    """How to repair a damaged file or folder that a step has written; of a model, give the folder.

    `named`: Snakemake must be asked for it by name, since all that is made of it is finished.
    """
    command = f"the same snakemake command{f' with {path} appended' * named}"
    return f"regenerate it (in a workflow: rm {'-r ' * path.is_dir()}{path}, then {command})"


def sha256sum(path: Path) -> str:
    """What the command `sha256sum` prints of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(*parts: Path | str | bytes) -> str:
    """Hex digest over the parts in order; a path means the bytes of its file."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with opening(part), part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()
