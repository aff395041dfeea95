"""A cell's scores on a benchmark that was evaluated elsewhere: read, checked, and written as evaluations are.

No model is loaded. The record names the file that was read and its SHA-256.
"""

from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.versions import STEP
from prunegrid.evaluation.fingerprint import SCHEMA
from prunegrid.evaluation.item_logs import ItemLog, read_item_log
from prunegrid.evaluation.records import ITEM_COLUMNS
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.experiment.names import IMPORTED

NO_FILTER = "none"


def import_scores(
    path: Path, out_dir: Path, name: str, benchmark: Benchmark, protocol: str, made_of: dict[str, Any]
) -> dict[str, Any]:
    """Write `out_dir/<name>.{parquet,json}` from the log `path`; `made_of` is the record's `digests` and `inputs`.

    Raises `PrunegridError` for a file that is missing, or no log of items, or whose values are not 0..1.
    """
    if not path.is_file():
        fix = f"write it (docs/how-to/add-a-benchmark.md, imported scores), or remove evaluation.benchmarks.{name}"
        raise PrunegridError(path, f"no such file, which {name} imports", fix)
    digest = files.sha256(path)
    log = read_item_log(path, benchmark.metric, benchmark.filter, next(iter(benchmark.cluster), None))
    if log.has_own_scale:
        extremes = f"{log.values.min():g} to {log.values.max():g}"
        raise PrunegridError(path, f"its {log.metric} is {extremes}, not 0 to 1", "divide it by the best score")
    file = out_dir / f"{name}.parquet"
    files.write_parquet(file, _item_table(log))
    record = {
        "benchmark": name,
        "protocol": protocol,
        "task": IMPORTED,
        "scores": str(path),
        "data_hash": digest,
        "imported": benchmark.model_dump(mode="json"),
        "limit": None,
        "schema": SCHEMA,
        "step": STEP["evaluate"],
        "task_version": 1,
        "versions": {},
        **made_of,
        **_scores(log),
        "items_hash": files.sha256(file),
    }
    files.write_json(out_dir / f"{name}.json", record)
    print(f"{name}: {len(log)} items imported from {path}, {record['score']:.2f} %", flush=True)
    return record


def _scores(log: ItemLog) -> dict[str, Any]:
    """In percent, as evaluations have them; `stderr` is null for one item."""
    values = log.values.tolist()
    stderr = 100 * stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    scores = {"score": 100 * fmean(values), "stderr": stderr}
    name = log.filter or NO_FILTER
    return {
        "metric": log.metric,
        "filter": name,
        **scores,
        "n_items": len(values),
        "n_truncated": 0,
        "metrics": {f"{log.metric},{name}": scores},
    }


def _item_table(log: ItemLog) -> pa.Table:
    """A row per item, whose id takes the place of its document's digest; what is unknown is empty."""
    rows = log.rows
    columns = {
        "doc_id": range(len(rows)),
        "doc_hash": rows["item"],
        "prompt_hash": rows["prompt"].fillna(""),
        "target_hash": rows["target"].fillna(""),
        "filter": [log.filter or NO_FILTER] * len(rows),
        "cluster": rows["cluster"].fillna(rows["item"]),
        "response": [""] * len(rows),
        "value": rows["value"],
    }
    schema = pa.schema([field for field in ITEM_COLUMNS if field.name in columns])
    return pa.table({name: pa.array(list(columns[name]), schema.field(name).type) for name in schema.names})
