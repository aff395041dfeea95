"""The rows of one file, whatever its format: told by its content; the name's extension is only a hint."""

from collections.abc import Iterator
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.data.arrow_rows import arrow_rows
from prunegrid.data.compression import plain
from prunegrid.data.csv_rows import csv_rows, delimiter
from prunegrid.data.json_rows import PlacedRow, json_rows

HEAD = 1 << 16  # bytes
TABLES = {b"PAR1": "Parquet", b"ARROW1": "Arrow file", b"\xff\xff\xff\xff": "Arrow stream"}
FOREIGN = {
    b"PK\x03\x04": ("a zip archive (or an Excel sheet)", "unpack it, or save the sheet as CSV"),
    b"\x80": ("a Python pickle", "load it and write JSON lines or Parquet"),
    b"SQLite format 3": ("an SQLite database", "write its table as CSV"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
    b"\x89HDF": ("an HDF5 file", "write it as Parquet"),
    b"PARE": ("an encrypted Parquet file", "decrypt it"),
    b"FEA1": ("a Feather file of version 1", "write it as Parquet"),
    b"%PDF": ("a PDF", "write its texts as JSON lines"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "git lfs pull"),
}
FORMATS = "JSON, JSON lines, CSV, TSV, Parquet or Arrow, plain or compressed by gzip, zstd, bzip2, xz or LZ4"


def file_rows(path: Path) -> Iterator[PlacedRow]:
    """(place, row) of each row of a file; a row that cannot be read gives its error, an unusable file raises one."""
    if not path.exists():
        raise PrunegridError(path, "no such file", "correct the path")
    if not path.is_file():
        raise PrunegridError(path, "is neither a file nor a folder", "write its rows to a file first")
    with plain(path) as stream:
        head = stream.read(HEAD)
    if kind := next((kind for magic, kind in TABLES.items() if head.startswith(magic)), None):
        return arrow_rows(path, kind)
    _refuse_foreign(path, head)
    text = head.decode("utf-8", errors="replace").removeprefix("\ufeff").lstrip()
    if not text:
        return iter(())
    mark = None if text[0] in "{[" else _delimiter(path, text)
    return csv_rows(path, mark) if mark else json_rows(path)


def _refuse_foreign(path: Path, head: bytes) -> None:
    for magic, (kind, fix) in FOREIGN.items():
        if head.startswith(magic):
            raise PrunegridError(path, f"is {kind}", f"{fix}; {FORMATS} can be read")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in head[:4]:
        raise PrunegridError(path, "is UTF-16 text, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW")
    if head[257:262] == b"ustar":
        raise PrunegridError(path, "is a tar archive", "unpack it and give its folder")
    if b"\x00" in head:
        raise PrunegridError(path, "holds zero bytes, so it is not text", f"give {FORMATS}")


def _delimiter(path: Path, head: str) -> str | None:
    """What separates the fields of a text that does not begin as JSON; None if its lines are JSON after all."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if any(suffix in (".tsv", ".tab") for suffix in suffixes):
        return "\t"
    if mark := delimiter(head):
        return mark
    if ".csv" in suffixes:
        return ","
    if any(line.lstrip().startswith("{") for line in head.splitlines()[1:20]) or {".json", ".jsonl"} & set(suffixes):
        return None
    raise PrunegridError(path, f"begins with {head[:20]!r}, which is not a readable format", f"give {FORMATS}")
