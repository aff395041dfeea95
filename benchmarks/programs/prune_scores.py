"""Prune a scores directory for benchmarks/pruning.py: print the time, peak memory and kept tokens as JSON."""

import json
import sys
import time
from pathlib import Path

from prunegrid.pruners import PruningSpec
from prunegrid.selection.prune import prune

scores, out, method, sample_ratio, token_ratio, options = sys.argv[1:]
wall, cpu = time.perf_counter(), time.process_time()
ratios = {"sample_ratio": float(sample_ratio), "token_ratio": float(token_ratio)}
spec = PruningSpec(method=method, options=json.loads(options), **ratios)
summary = prune(Path(scores), Path(out), spec, 0)
measured = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(json.dumps(measured | {"peak_mb": peak / 1024, "kept_tokens": summary.kept_tokens}))
