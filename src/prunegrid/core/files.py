"""Read and write the files between steps: whole or not at all, and a clear word when one is damaged."""

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prunegrid.core.disk_errors import RERUN, writing
from prunegrid.core.errors import PrunegridError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (file or folder), renamed to `path` only if the block succeeds.

    A block that fails leaves nothing behind, not even the folder that was made for it; that the disk is full or
    read-only is a `PrunegridError`.
    """
    made = not path.parent.is_dir()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        try:
            yield temporary
            if path.is_dir():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            _remove(temporary)
            if made and not any(path.parent.iterdir()):
                path.parent.rmdir()


def _remove_left(path: Path) -> None:
    """Remove what a process that was killed left of an earlier `path` under its temporary name."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not _runs(int(number)):
            _remove(left)


def _runs(process: int) -> bool:
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
    """Write `value` as indented JSON; NaN is refused, since other readers of JSON do."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, table: pa.Table, row_group_size: int = 50_000) -> None:
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=row_group_size)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def read_json(path: Path) -> Any:
    """The file's content; a missing or damaged file is a `PrunegridError` that says how to repair it."""
    with _opening(path):
        try:
            return json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise PrunegridError(f"{path}: not complete JSON ({error}); {repair(path)}") from None


def read_parquet(path: Path, columns: Sequence[str] | None = None, remedy: str = "") -> pa.Table:
    """The file's table, `columns` only where given; damage and missing columns are a `PrunegridError`.

    `remedy` says what to do about damage, for a file that no step has made.
    """
    with _reading(path, remedy):
        return _open(path, columns).read(columns=None if columns is None else list(columns))


def parquet_schema(path: Path) -> pa.Schema:
    """The file's columns, with its key-value metadata; errors as `read_parquet`'s."""
    with _reading(path):
        return _open(path, None).schema_arrow


def parquet_metadata(path: Path) -> dict[bytes, bytes]:
    """The key-value metadata of the file's schema; errors as `read_parquet`'s."""
    return parquet_schema(path).metadata or {}


def column_names(path: Path) -> list[str]:
    """The names of the file's columns; errors as `read_parquet`'s."""
    return list(parquet_schema(path).names)


def read_batches(path: Path, size: int) -> Iterator[pa.RecordBatch]:
    """The file's rows, at most `size` in memory at a time; errors as `read_parquet`'s."""
    with _reading(path):
        yield from _open(path, None).iter_batches(size)


def stream_parquet(path: Path, columns: Sequence[str], sizes: Sequence[int]) -> Iterator[pa.Table]:
    """The file's table in pieces of `sizes` rows, then what is left, if anything; errors as `read_parquet`'s.

    The size of the file's row groups matters neither to the pieces nor to the memory they take.
    """
    with _reading(path):
        file = _open(path, columns)
        held = file.schema_arrow.empty_table().select(list(columns))
        batches = file.iter_batches(1024, columns=list(columns))
        for size in sizes:
            parts = [held]
            while sum(map(len, parts)) < size and (batch := next(batches, None)) is not None:
                parts.append(pa.Table.from_batches([batch]))
            table = pa.concat_tables(parts)
            yield table[:size]
            held = table[size:]
        left = pa.concat_tables([held, *(pa.Table.from_batches([batch]) for batch in batches)])
        if len(left):
            yield left


def _open(path: Path, columns: Sequence[str] | None) -> pq.ParquetFile:
    file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
    if missing:
        raise PrunegridError(f"{path}: no column {', '.join(missing)}; found: {', '.join(file.schema_arrow.names)}")
    return file


@contextmanager
def _reading(path: Path, remedy: str = "") -> Iterator[None]:
    with _opening(path):
        try:
            yield
        except pa.ArrowInvalid as error:
            reason = str(error).splitlines()[0]
            raise PrunegridError(f"{path}: damaged or not Parquet ({reason}); {remedy or repair(path)}") from None
        except OSError as error:
            if error.errno:
                raise
            reason = str(error).splitlines()[0]
            raise PrunegridError(f"{path}: damaged or not Parquet ({reason}); {remedy or repair(path)}") from None


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Tell that the system refuses to open or read `path`, which says nothing of what is in it."""
    try:
        yield
    except FileNotFoundError:
        raise PrunegridError(f"{path}: no such file") from None
    except OSError as error:
        raise PrunegridError(unreadable(path, error)) from None


def unreadable(path: Path, error: OSError) -> str:
    """The message for a file that the system does not let be read."""
    words = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
    if path.is_dir():
        return f"{path}: is a folder, not a file; move it away, {RERUN}"
    return f"{path}: cannot be read ({words}); see to its rights and its disk, {RERUN}"


def read_records(path: Path, remedy: str = "") -> list[dict[str, Any]]:
    """The rows of a JSON lines or Parquet file; an absent, empty or unreadable one is a `PrunegridError`.

    `remedy` says what to do about damage; without one the file is the user's own.
    """
    if not path.exists():
        raise PrunegridError(f"{path}: no such file; name an existing one")
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = read_parquet(path, remedy=remedy or "fetch or write it again").to_pylist()
    else:
        with _opening(path):
            rows = list(_records(path, f"; {remedy}" if remedy else ""))
    if not rows:
        raise PrunegridError(f"{path}: holds no rows" + (f"; {remedy}" if remedy else ""))
    return rows


def _records(path: Path, remedy: str) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _record(line, f"{path}: line {number}", remedy)
    except UnicodeDecodeError as error:
        raise PrunegridError(f"{path}: is not UTF-8 text ({error}){remedy or '; save it as UTF-8'}") from None


def _record(line: str, where: str, remedy: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise PrunegridError(f"{where} is not JSON ({error}){remedy}") from None
    if not isinstance(row, dict):
        raise PrunegridError(f"{where} is a {type(row).__name__}, not an object with named fields")
    return row


def repair(path: Path) -> str:
    """What to do about a damaged file that a step has made; models are folders made as a whole."""
    whole = any((path.parent / name).exists() for name in ("config.json", "adapter_config.json"))
    remove = f"rm -r {path}" if path.is_dir() else f"rm -r {path.parent}" if whole else f"rm {path}"
    return f"make it again (in a workflow: {remove}, then the same snakemake command)"


def sha256sum(path: Path) -> str:
    """What the command `sha256sum` prints of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(*parts: Path | str | bytes) -> str:
    """Hex digest over the parts in order; a path stands for the bytes of its file."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with _opening(part), part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()
