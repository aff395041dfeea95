"""The file of a stock benchmark's items: what lm-eval's tasks read, so that evaluation needs no network.

JSON lines. The first says what was found: lm-eval's version, the task's own, its folders, the table's metric, and each
task's number of items. Every other is a row of a split: `{"data": [hub, config, options], "split": ..., "row": ...}`.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_records, repair, replacing
from prunegrid.data.rows import stream_rows
from prunegrid.data.splits import Splits, to_dataset
from prunegrid.evaluation.items import BenchmarkItems
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.tasks.stock import HEADER, StockTask, read_header, stock_task


def write_stock_items(benchmark: Benchmark, out: Path, *, mirror: str | None = None, local: Any = None) -> None:
    """Write the splits that the benchmark's task reads: its items, and those that its examples are drawn from.

    They come from `mirror`, else from the hub; if the benchmark names `data`, the items come from these: `local`, or
    the hub's. Raises a `PrunegridError` for a task that cannot be a column.
    """
    from prunegrid.evaluation import stock

    task, ref = stock_task(str(benchmark.task)).with_settings(benchmark.stock_settings), benchmark.data
    opened: dict[str, Splits] = {}

    def open_splits(hub: str | None, config: str | None, options: dict[str, Any]) -> Splits:
        key = json.dumps([hub, config, options])
        if key not in opened:
            opened[key] = Splits(hub, config, mirror, options)
        return opened[key]

    items = to_dataset((row.values for row in stream_rows(ref, local)), local or ref.hub) if ref else None
    loaded = stock.load(task, open_splits, items=items)
    if ref and len(loaded.tasks) > 1:
        problem = f"{task.name} has {len(loaded.tasks)} tasks, each with its own items"
        raise PrunegridError("data", problem, "remove data, or choose one of its tasks")
    metric, filter_name = stock.table_metric(loaded, task.settings.get("metric"))
    stock.check_weights(loaded, metric, benchmark.limit)
    header = {
        HEADER: version("lm_eval"),
        "version": loaded.version,
        "table_metric": metric,
        "table_filter": filter_name,
        "folders": loaded.folders,
        "items": loaded.sizes,
    }
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(header) + "\n")
        for key, splits in opened.items():
            for split, rows in splits.items():
                for row in rows:
                    file.write(json.dumps({"data": json.loads(key), "split": split, "row": row}, default=str) + "\n")


def read_stock_items(path: Path, task: StockTask, limit: int | None) -> tuple[StockTask, BenchmarkItems]:
    """The task with what the file says in its metadata; and its items, each as its task and its number there."""
    header = read_header(path)
    if header[HEADER] != version("lm_eval"):
        problem = f"was written with lm-eval {header[HEADER]}, and {version('lm_eval')} is installed"
        raise PrunegridError(path, problem, repair(path))
    docs = [{"task": name, "doc_id": place} for name, size in header["items"].items() for place in range(size)[:limit]]
    size = sum(header["items"].values())
    return task.with_metadata(**header), BenchmarkItems(docs, None, size, size, None)


class StoredSplits:
    """The splits of a stock benchmark's file, as `stock.load` opens them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for record in read_records(path, repair(path))[1:]:
            self.rows[json.dumps(record["data"])][record["split"]].append(record["row"])

    def open(self, hub: str | None, config: str | None, options: dict[str, Any]) -> Mapping[str, Any]:
        splits = self.rows[json.dumps([hub, config, options])]
        return {split: to_dataset(rows, self.path) for split, rows in splits.items()}
