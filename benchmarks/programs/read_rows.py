"""Read a file of rows for benchmarks/intake.py, as `argv[1]` says: print rows, seconds and memory as JSON.

`prunegrid` reads the rows, `write` writes them as a training set, `list` reads JSON as version 0.1 did (every row at
once), `datasets` converts to its cache and reads from it, one row after another.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prunegrid.data.datasets import write_dataset
from prunegrid.data.rows import stream_rows
from prunegrid.experiment.dataset import Dataset


def read_prunegrid(file: str, work: Path) -> Iterable[Any]:
    return stream_rows(Dataset(name="d", path=file), file)


def read_list(file: str, work: Path) -> Iterable[Any]:
    if not file.endswith(".jsonl"):
        return json.loads(Path(file).read_text())
    with Path(file).open() as lines:
        return list(map(json.loads, lines))


def read_datasets(file: str, work: Path) -> Iterable[Any]:
    from datasets import load_dataset

    return load_dataset("json", data_files=file, split="train", cache_dir=str(work), revision=None)


def write(file: str, work: Path) -> Iterable[Any]:
    write_dataset(Dataset(name="d", path=file), file, work / "data.parquet", work / "data.json")
    return range(json.loads((work / "data.json").read_text())["samples"])


READERS: dict[str, Callable[[str, Path], Iterable[Any]]] = {
    "prunegrid": read_prunegrid,
    "list": read_list,
    "datasets": read_datasets,
    "write": write,
}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


way, file, folder = sys.argv[1:]
with tempfile.TemporaryDirectory(dir=folder) as work:
    before, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
    rows = sum(1 for _ in READERS[way](file, Path(work)))
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
print(
    json.dumps({"rows": rows, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb(), "start_mb": before})
)
