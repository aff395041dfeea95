"""Overhead of a cell's `train` and `evaluate` jobs around training loop and evaluation: seconds by phase.

    python benchmarks/startup.py results/sandbox [--cell s0.125-t0.5/qtuning/seed0] [--repeat 3] [--package src]

Reads a finished experiment with one model and writes to a temporary folder. Each job does what its script does, in a
fresh process (Snakemake adds 0.1 s a job). Phases: `start` to the script's first line; `imports`; `load` (evaluate:
checks, model; train: everything around the loop, in all its processes); `work` (the loop, or the evaluation as its
records have it); `exit`. `cpu` is user + system of the job and its children; compare it on a shared machine. The run
with the least of `--repeat` is shown. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from children import cpu_seconds

PROGRAM = Path(__file__).with_name("programs") / "startup_job.py"
PHASES = ("start", "imports", "load", "work", "exit", "overhead", "wall", "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a finished experiment's folder")
    parser.add_argument("--cell", default="s0.125-t0.5/qtuning/seed0", help="a pruned cell of it")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", default=["train", "evaluate"], choices=["train", "evaluate"])
    parser.add_argument("--package", type=Path, help="the folder that holds prunegrid, to compare two versions")
    options = parser.parse_args()
    print(f"{'job':9}" + "".join(f"{phase:>10}" for phase in PHASES))
    best = {}
    for job in options.jobs:
        runs = [run(job, options) for _ in range(options.repeat)]
        best[job] = min(runs, key=lambda row: row["cpu"])
        print(f"{job:9}" + "".join(f"{best[job][phase]:10.2f}" for phase in PHASES), flush=True)
    print(json.dumps({"benchmark": "startup", "cell": options.cell, "repeat": options.repeat, "jobs": best}))


def run(job: str, options: argparse.Namespace) -> dict[str, float]:
    """One job in a process of its own; its seconds by phase."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    if options.package:
        environment["PYTHONPATH"] = str(options.package.resolve())
    with tempfile.TemporaryDirectory() as folder:
        cpu_start, start = cpu_seconds(), time.time()
        command = [sys.executable, PROGRAM, job, options.results.resolve(), options.cell, folder]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        end = time.time()
        if done.returncode:
            sys.exit(done.stderr)
        marks: dict[str, Any] = json.loads(Path(folder, "marks.json").read_text())
    phases = {
        "start": marks["start"] - start,
        "imports": marks["imported"] - marks["start"],
        "load": marks["done"] - marks["imported"] - marks["work"],
        "work": marks["work"],
        "exit": end - marks["done"],
    }
    wall = end - start
    totals = {"overhead": wall - marks["work"], "wall": wall, "cpu": cpu_seconds() - cpu_start}
    return {phase: round(seconds, 2) for phase, seconds in (phases | totals).items()}


if __name__ == "__main__":
    main()
