"""Look through a file of rows for benchmarks/duplicates.py, as `argv[1]` says: print counts, seconds, memory as JSON.

`exact` and `near` write it as a training set without such duplicates, `contamination` compares its samples with items,
`datasketch` is that library's MinHash and LSH over the same shingles (of the whole row only), one row after another.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prunegrid.data.contamination import Benchmark, find_contamination
from prunegrid.data.datasets import write_dataset
from prunegrid.data.minhash import SHINGLE, THRESHOLD
from prunegrid.data.shingles import split
from prunegrid.experiment.dataset import Dataset


def write(file: str, work: Path, drop: Any) -> dict[str, Any]:
    write_dataset(Dataset(name="d", path=file, drop_duplicates=drop), file, work / "data.parquet", work / "data.json")
    counts = json.loads((work / "data.json").read_text())
    return {"rows": counts["rows"], "left_out": counts["rows"] - counts["samples"]}


def contamination(file: str, work: Path) -> dict[str, Any]:
    """The first 1,000 rows are the items, the file is the training set."""
    with Path(file).open() as lines:
        rows = map(json.loads, lines)
        items = [next(rows) for _ in range(1000)]
    with Path(file).open() as lines:
        texts = (json.loads(line) for line in lines)
        samples = ((i, [{"content": row["prompt"]}, {"content": row["response"]}]) for i, row in enumerate(texts))
        record = find_contamination({"items": Benchmark(items)}, samples)
    return {"rows": record["samples"], "left_out": record["benchmarks"]["items"]["overlap"]}


def datasketch(file: str, work: Path) -> dict[str, Any]:
    from datasketch import MinHash, MinHashLSH

    index, rows, repeated = MinHashLSH(threshold=THRESHOLD, num_perm=128), 0, 0
    with Path(file).open() as lines:
        for rows, row in enumerate(map(json.loads, lines), start=1):
            words = split(row["prompt"] + "\n" + row["response"])
            signature = MinHash(num_perm=128)
            places = range(len(words) - SHINGLE + 1)
            signature.update_batch([" ".join(words[i : i + SHINGLE]).encode() for i in places])
            if index.query(signature):
                repeated += 1
            else:
                index.insert(rows, signature)
    return {"rows": rows, "left_out": repeated}


WAYS: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "exact": lambda file, work: write(file, work, True),
    "near": lambda file, work: write(file, work, "near"),
    "contamination": contamination,
    "datasketch": datasketch,
}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


way, file, folder = sys.argv[1:]
with tempfile.TemporaryDirectory(dir=folder) as work:
    start, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
    counts = WAYS[way](file, Path(work))
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
print(json.dumps({"way": way, **counts, **times, "start_mb": start, "peak_mb": peak_mb()}))
