"""Change a selection as its maker would have: its summary describes the new file."""

from pathlib import Path

import pyarrow as pa

from prunegrid.core.files import read_json, sha256, write_json, write_parquet


def rewrite(path: Path, table: pa.Table) -> None:
    """Write `table` as the `selection.parquet` `path`, and its digest into `selection.json`."""
    write_parquet(path, table)
    summary = path.with_suffix(".json")
    write_json(summary, read_json(summary) | {"selection": sha256(path)})
