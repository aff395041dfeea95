"""Choose samples by their vectors for benchmarks/diversity.py: print time and peak memory as JSON, write the rows."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from prunegrid.pruners import Draw, PruningSpec, Scores, choose_samples

file, method, ratio, options = sys.argv[1:]
vectors = np.load(file, mmap_mode="r")
n = len(vectors)
scores = Scores(
    sample_id=np.arange(n),
    response_tokens=np.full(n, 10),
    truncated=np.zeros(n, np.bool_),
    offsets=np.arange(n + 1) * 10,
    samples={"hidden_mean": vectors, "nll": np.random.default_rng(1).random(n)},
)
spec = PruningSpec(method=f"{method}+random", options=json.loads(options), sample_ratio=float(ratio), token_ratio=1)
wall, cpu = time.perf_counter(), time.process_time()
rows = choose_samples(scores, spec, Draw(0)).rows
measured = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
np.save(f"{file}.rows.npy", rows)
peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(json.dumps(measured | {"peak_mb": peak / 1024, "kept": len(rows)}))
