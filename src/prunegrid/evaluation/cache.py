"""What a cell was already asked, kept beside the files that the workflow knows, so that an evaluation can resume.

Snakemake deletes a job's declared outputs before it runs and after it fails. The folder `asked/` is not declared:
a benchmark whose record there says what would be said now is not asked again. docs/evaluation.md describes it.
"""

import json
import os
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from prunegrid.core.files import read_parquet, replacing, sha256, write_json, write_parquet
from prunegrid.experiment import layout

RESULT_KEYS = ("metric", "filter", "score", "stderr", "n_items", "n_truncated", "metrics", "items_hash", "seconds")
FALLBACK = ("fallback",)
"""Why answers did not come about as planned: in records of such answers only, and no reason to generate them again."""
DATA_KEYS = ("data", "n_complete")
"""Where the items are from and how many there should be: no score depends on it while `data_hash` is the same."""


class EvaluationCache:
    """The folder of one cell's benchmarks that were asked to their end."""

    def __init__(self, out_dir: Path) -> None:
        self.out_dir, self.folder = out_dir, out_dir / layout.ANSWERS

    def lookup(self, name: str, asking: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """The record of `name` if it was asked just as `asking` says, and whole; else None and why not.

        Of the record's own, only what is `DATA_KEYS` follows `asking`.
        """
        path = self.folder / f"{name}.json"
        try:
            record = json.loads(path.read_text())
        except FileNotFoundError:
            return None, "not asked before"
        except ValueError:
            record = None
        if not isinstance(record, dict) or not record.keys() >= set(RESULT_KEYS):
            return None, "its kept record is damaged"
        compared = (record.keys() | asking.keys()) - {*RESULT_KEYS, *FALLBACK, *DATA_KEYS}
        if differing := sorted(key for key in compared if record.get(key) != asking.get(key)):
            return None, f"asked before with another {', '.join(differing)}"
        items = path.with_suffix(".parquet")
        if not items.is_file() or sha256(items) != record["items_hash"]:
            return None, "its kept items are lost or damaged"
        if not _is_mean(record["score"], items, record["filter"]):
            return None, "its kept record is damaged"
        return record | {key: asking[key] for key in DATA_KEYS}, "kept"

    def store(self, name: str, items: pa.Table, record: dict[str, Any]) -> dict[str, Any]:
        """Write the items, then the record, which is complete with their digest."""
        path = self.folder / f"{name}.parquet"
        write_parquet(path, items)
        record = record | {"items_hash": sha256(path)}
        write_json(path.with_suffix(".json"), record)
        return record

    def export(self, name: str, record: dict[str, Any]) -> None:
        """Give the workflow the files that it declares: the items as a hard link, or a copy where there can be none.

        The record is a file of its own: were a linked one written to in place, nothing would tell. Items have a digest.
        """
        with replacing(self.out_dir / f"{name}.parquet") as temporary:
            try:
                os.link(self.folder / f"{name}.parquet", temporary)
            except OSError:
                shutil.copyfile(self.folder / f"{name}.parquet", temporary)
        write_json(self.out_dir / f"{name}.json", record)


def _is_mean(score: Any, items: Path, chosen: Any) -> bool:
    """Whether the score, in percent, is the mean of the items' values under the filter `chosen`."""
    rows = read_parquet(items, ["filter", "value"]).to_pylist()
    values = [row["value"] for row in rows if row["filter"] == chosen]
    return bool(values) and isinstance(score, int | float) and abs(100 * fmean(values) - score) <= 1e-6
