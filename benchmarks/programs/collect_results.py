"""Collect a results folder for benchmarks/status.py: print the seconds, without imports, and all statuses."""

import sys
import time
from pathlib import Path

from prunegrid.experiment.locate import read_folder
from prunegrid.results import collect

root = Path(sys.argv[1])
experiment = read_folder(root)
start = time.perf_counter()
frame = collect.collect(experiment, root)
print(time.perf_counter() - start, *sorted(set(frame["status"])))
