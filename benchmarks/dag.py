"""What Snakemake needs before the first job: CPU seconds and memory at 100, 1,000 and 10,000 cells.

    python benchmarks/dag.py [--sizes 100 1000 10000] [--finished 100 1000]

The default experiment's 18 variants, with as many seeds as the size asks for, in a temporary folder. `job`: what every
job pays, the Snakefile parsed and one job found; `new`: a dry run of the whole grid. For the sizes of `--finished`
every output is then made as an empty file and marked as up to date by `snakemake --touch`: `collect` is what the job
pays that reads all cells, `done` a dry run that compares times and settings of everything and finds nothing to do.
Each is one process, so on an idle machine its CPU seconds are what you wait. Growth exponent: the slope of log seconds
over log cells between the two largest sizes. The last line is one JSON object.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from children import exponent

ROOT = Path(__file__).parents[1]
PHASES = ("job", "new", "collect", "done")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000], help="cells")
    parser.add_argument("--finished", type=int, nargs="*", default=[100, 1_000], help="sizes that are also run as done")
    options = parser.parse_args()
    print(f"{'cells':>7} {'jobs':>7}" + "".join(f"{phase + ' s':>10}" for phase in PHASES) + f"{'new MB':>8}")
    measured = []
    for size in sorted(options.sizes):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(Path(folder), size, finished=size in options.finished)
        measured.append(row)
        seconds = "".join(f"{row[phase]:10.1f}" if row[phase] is not None else f"{'-':>10}" for phase in PHASES)
        print(f"{row['cells']:7,} {row['jobs']:7,}{seconds}{row['new_mb']:8,.0f}", flush=True)
    growth = {phase: grown(measured, phase) for phase in PHASES}
    for phase, slope in growth.items():
        print(f"{phase}: seconds grow as cells^{slope:.2f}" if slope else f"{phase}: one size, no growth")
    print(json.dumps({"benchmark": "dag", "sizes": measured, "growth": growth}))


def measure(folder: Path, size: int, finished: bool) -> dict[str, Any]:
    """One size: seconds of each dry run, peak memory (MB) of the one of the whole grid."""
    config = write_config(folder, size)
    results = f"results/{config['experiment']}"
    job, _, _ = snakemake(folder, "--dry-run", f"{results}/experiment.json")
    new, new_mb, text = snakemake(folder, "--dry-run")
    match = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    assert match, text[-2000:]
    collect, done = None, None
    if finished:
        make_outputs(folder, text)
        snakemake(folder, "--touch", "--cores", "1")
        collect, _, _ = snakemake(folder, "--dry-run", "--target-jobs", "collect:", "--allowed-rules", "collect")
        done, _, text = snakemake(folder, "--dry-run")
        assert "Nothing to be done" in text, text[-2000:]
    cells = len(config["variants"]) * len(config["seeds"]) + len(config["seeds"]) + 1
    return {
        "cells": cells,
        "jobs": int(match[1]),
        "job": job,
        "collect": collect,
        "new": new,
        "done": done,
        "new_mb": new_mb,
    }


def write_config(folder: Path, size: int) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    config |= {"experiment": "dag", "seeds": list(range(round(size / len(config["variants"]))))}
    (folder / "dag.yaml").write_text(yaml.safe_dump(config))
    return config


def snakemake(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """CPU seconds, peak memory in MB, and what it said."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with (folder / "output.txt").open("w+") as file:
        process = subprocess.Popen(
            [*command, *arguments, "--configfile", str(folder / "dag.yaml")], stdout=file, stderr=file, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = usage.ru_utime + usage.ru_stime
        file.seek(0)
        text = file.read()
    if status:
        sys.exit(text[-2000:])
    return round(seconds, 2), round(usage.ru_maxrss / 1024), text


def make_outputs(folder: Path, text: str) -> None:
    """Every output that the dry run announced, as an empty file; a name without a suffix is a folder."""
    for names in re.findall(r"^ +output: (.*)$", text, re.MULTILINE):
        for name in names.split(", "):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)


def grown(measured: list[dict[str, Any]], phase: str) -> float | None:
    timed = [row for row in measured if row[phase] is not None]
    if len(timed) < 2:
        return None
    return round(exponent(*timed[-2:], phase, by="cells"), 2)


if __name__ == "__main__":
    main()
