"""The cache of a cell's finished benchmarks, from which an evaluation resumes.

Snakemake deletes a job's declared outputs before it runs and after it fails. The cache is not declared: a benchmark
is evaluated again only if its cached record differs from the one that would be written now.
docs/reference/evaluation.md
describes it.
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
from prunegrid.tasks.catalog import current_name

FORMER_NAME = "asked"  # of the folder, in version 0.1
RESULT_KEYS = ("metric", "filter", "score", "stderr", "n_items", "n_truncated", "metrics", "items_hash", "seconds")
OPTIONAL_RESULT_KEYS = ("fallback", "subtasks", "sampled", "sampling_se")
DATA_KEYS = ("data", "n_complete")
"""Where the items are from and how many a complete data set has: no score depends on it if `data_hash` is the same."""
INPUTS = "inputs"
"""What the model was made from: no score depends on it if the digests of the model are the same."""


class EvaluationCache:
    """The records and items of one cell's finished benchmarks. A folder of the former name is renamed."""

    def __init__(self, out_dir: Path) -> None:
        self.out_dir, self.folder = out_dir, out_dir / layout.EVALUATION_CACHE
        former = out_dir / FORMER_NAME
        if former.is_dir() and not self.folder.exists():
            former.rename(self.folder)

    def lookup(self, name: str, fingerprint: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """The whole record of `name` if its fingerprint is this one, else None; and "cached" or the reason why not.

        `DATA_KEYS` and `INPUTS` of the record are those of `fingerprint`; a task of a former name gets its current one.
        """
        path = self.folder / f"{name}.json"
        try:
            record = json.loads(path.read_text())
        except FileNotFoundError:
            return None, "not in the cache"
        except ValueError:
            record = None
        if not isinstance(record, dict) or not record.keys() >= set(RESULT_KEYS):
            return None, "its cached record is damaged"
        record["task"] = current_name(record.get("task"), record.get("task_hash"))
        keys = (record.keys() | fingerprint.keys()) - {*RESULT_KEYS, *OPTIONAL_RESULT_KEYS, *DATA_KEYS, INPUTS}
        if changed := sorted(key for key in keys if record.get(key) != fingerprint.get(key)):
            return None, f"its cached record has a different {', '.join(changed)}"
        items = self.folder / f"{name}.parquet"
        if not items.is_file() or sha256(items) != record["items_hash"]:
            return None, "its cached items are missing or damaged"
        if not _is_mean(record["score"], items, record["filter"]):
            return None, "its cached record is damaged"
        current = {key: fingerprint[key] for key in (*DATA_KEYS, INPUTS) if key in fingerprint}
        return record | current, "cached"

    def store(self, name: str, items: pa.Table, record: dict[str, Any]) -> dict[str, Any]:
        """Write the items, then the record with their digest: a record is there only if its items are."""
        path = self.folder / f"{name}.parquet"
        write_parquet(path, items)
        record = record | {"items_hash": sha256(path)}
        write_json(self.folder / f"{name}.json", record)
        return record

    def export(self, name: str, record: dict[str, Any]) -> None:
        """Write the files that the workflow declares: the items as a hard link if possible, the record as a copy.

        Damage to a linked record could not be noticed; damage to items is, by their digest.
        """
        with replacing(self.out_dir / f"{name}.parquet") as temporary:
            try:
                os.link(self.folder / f"{name}.parquet", temporary)
            except OSError:
                shutil.copyfile(self.folder / f"{name}.parquet", temporary)
        write_json(self.out_dir / f"{name}.json", record)


def _is_mean(score: Any, items: Path, filter_name: Any) -> bool:
    """Whether the score, in percent, is the mean of the items' values under that filter."""
    rows = read_parquet(items, ["filter", "value"]).to_pylist()
    values = [row["value"] for row in rows if row["filter"] == filter_name]
    return bool(values) and isinstance(score, int | float) and abs(100 * fmean(values) - score) <= 1e-6
