"""The same rows in files of every format and compression."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]


def json_lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def separated(rows: Rows, mark: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=mark)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: Rows) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=2)
    return bytes(sink.getvalue())


def ipc(rows: Rows, new: Callable[..., Any]) -> bytes:
    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(rows)
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue())


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "lines": json_lines,
    "lines_blank": lambda rows: b"\n" + json_lines(rows).replace(b"\n", b"\r\n\r\n"),
    "lines_bom": lambda rows: b"\xef\xbb\xbf" + json_lines(rows),
    "lines_unended": lambda rows: json_lines(rows).rstrip(),
    "array": lambda rows: json.dumps(rows, ensure_ascii=False).encode(),
    "array_indented": lambda rows: b"\xef\xbb\xbf \n" + json.dumps(rows, indent=4).encode() + b"\n",
    "objects_indented": lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows).encode(),
    "data": lambda rows: json.dumps({"version": "1", "data": rows, "note": ["x"]}).encode(),
    "data_indented": lambda rows: json.dumps({"version": "1", "data": rows}, indent=2).encode(),
    "data_by_line": lambda rows: b'{"data": [\n' + json_lines(rows).strip().replace(b"\n", b",\n") + b"\n]}",
    "only_list": lambda rows: json.dumps({"my_rows": rows}, indent=2).encode(),
    "csv": separated,
    "csv_semicolon": lambda rows: b"\xef\xbb\xbf" + separated(rows, ";"),
    "tsv": lambda rows: separated(rows, "\t"),
    "parquet": parquet,
    "arrow": lambda rows: ipc(rows, pa.ipc.new_file),
    "arrow_stream": lambda rows: ipc(rows, pa.ipc.new_stream),
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip_members": lambda data: gzip.compress(data[:30]) + gzip.compress(data[30:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: bytes(pa.compress(data, codec="zstd")),
    "lz4": lambda data: bytes(pa.compress(data, codec="lz4")),
}


def write_source(path: Path, rows: Rows, form: str = "lines", compression: str = "plain") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(COMPRESSIONS[compression](FORMATS[form](rows)))
    return path
