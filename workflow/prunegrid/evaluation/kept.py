"""What a cell was already asked, kept beside the files that the workflow knows, so that an evaluation can resume.

Snakemake deletes a job's declared outputs before it runs and after it fails. The folder `asked/` is not declared:
a benchmark whose record there says what would be said now is not asked again. docs/evaluation.md describes it.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from prunegrid.io import replacing, sha256, write_json, write_parquet

FOLDER = "asked"
FOUND = ("metric", "filter", "score", "stderr", "n_items", "n_truncated", "metrics", "items_hash", "seconds")


class Kept:
    """The folder of one cell's benchmarks that were asked to their end."""

    def __init__(self, out_dir: Path) -> None:
        self.out_dir, self.folder = out_dir, out_dir / FOLDER

    def find(self, name: str, asking: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """The record of `name` if it was asked just as `asking` says, and whole; else None and why not."""
        path = self.folder / f"{name}.json"
        try:
            record = json.loads(path.read_text())
        except FileNotFoundError:
            return None, "not asked before"
        except ValueError:
            return None, "its kept record is damaged"
        asked = {key: value for key, value in record.items() if key not in FOUND}
        if differing := sorted(key for key in asked.keys() | asking.keys() if asked.get(key) != asking.get(key)):
            return None, f"asked before with another {', '.join(differing)}"
        items = path.with_suffix(".parquet")
        if not items.is_file() or sha256(items) != record["items_hash"]:
            return None, "its kept items are lost or damaged"
        return record, "kept"

    def keep(self, name: str, items: pa.Table, record: dict[str, Any]) -> dict[str, Any]:
        """Write the items, then the record, which is complete with their digest."""
        path = self.folder / f"{name}.parquet"
        write_parquet(path, items)
        record = record | {"items_hash": sha256(path)}
        write_json(path.with_suffix(".json"), record)
        return record

    def hand_over(self, name: str) -> None:
        """Give the workflow the files that it declares: hard links, or copies where there can be none."""
        for suffix in (".parquet", ".json"):
            with replacing(self.out_dir / f"{name}{suffix}") as temporary:
                try:
                    os.link(self.folder / f"{name}{suffix}", temporary)
                except OSError:
                    shutil.copyfile(self.folder / f"{name}{suffix}", temporary)
