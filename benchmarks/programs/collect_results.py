"""Collect a results folder for benchmarks/status.py: print the seconds, without imports, and all statuses."""

import sys
import time
from pathlib import Path

from prunegrid.experiment.locate import experiment_of
from prunegrid.results import collect

root = Path(sys.argv[1])
experiment = experiment_of(root)
start = time.perf_counter()
frame = collect.collect(experiment, root)
print(time.perf_counter() - start, *sorted(set(frame["status"])))
