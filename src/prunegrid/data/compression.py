"""Files as streams of plain bytes, decompressed on the way: gzip, zstd, bzip2, xz and LZ4 are told by first bytes."""

import bz2
import gzip
import io
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import opening

BUFFER = 1 << 20
MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
DAMAGE = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, pa.ArrowInvalid)


@contextmanager
def plain(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed on the way; a damaged file is a `PrunegridError`, in the block too."""
    with opening(path), io.BufferedReader(path.open("rb", buffering=0), BUFFER) as file:
        kind = next((kind for magic, kind in MAGIC.items() if file.peek(8).startswith(magic)), None)
        if kind is None:
            yield file
            return
        try:
            with _decompressed(file, kind) as stream:
                yield stream
        except (*DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            problem = f"is damaged: its {kind} data cannot be decompressed ({first_line(error)})"
            raise PrunegridError(path, problem, "fetch or write it again") from None


def _decompressed(file: IO[bytes], kind: str) -> IO[bytes]:
    if kind in ("zstd", "lz4"):
        stream: Any = pa.CompressedInputStream(pa.PythonFile(file, "r"), kind)
    else:
        stream = {"gzip": gzip, "bz2": bz2, "xz": lzma}[kind].open(file)
    return io.BufferedReader(stream, BUFFER)


@contextmanager
def seekable(path: Path) -> Iterator[Any]:
    """The file's bytes for a reader that jumps; those of a compressed file are decompressed into a temporary one."""
    with plain(path) as stream:
        if isinstance(stream.raw, io.FileIO):  # type: ignore[attr-defined]
            yield pa.memory_map(str(path))
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy, BUFFER)
            copy.seek(0)
            yield copy
