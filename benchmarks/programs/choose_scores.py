"""Choose from a sample table for benchmarks/choosing.py: print the time, peak memory and the file's size as JSON."""

import json
import sys
import time
from pathlib import Path

from prunegrid.pruners import PruningSpec
from prunegrid.selection.choose import choose

scores, out, method, sample_ratio, token_ratio = sys.argv[1:]
wall, cpu = time.perf_counter(), time.process_time()
spec = PruningSpec(method=method, sample_ratio=float(sample_ratio), token_ratio=float(token_ratio))
facts = choose(Path(scores), Path(out), spec, 0)
measured = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
sizes = {"choice_mb": Path(out).stat().st_size / 2**20, "kept_samples": facts.totals["kept_samples"]}
print(json.dumps(measured | {"peak_mb": peak / 1024} | sizes))
