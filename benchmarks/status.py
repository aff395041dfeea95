"""Cost of `prunegrid status` and of collecting results at a thousand finished cells: seconds, and ms a cell.

    python benchmarks/status.py results/sandbox [--cells 1000] [--repeat 3] [--package src]

Multiplies a finished experiment, in a temporary folder, to at least `--cells` cells: each further seed has the files of
the first, with its own number in them. `status` is a whole process; `collect` is
`prunegrid.results.collect.collect` without its imports. The fastest of `--repeat` runs is shown, with the file system's
cache warm. The last line is one JSON object.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from prunegrid.core.files import sha256sum
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.locate import read_folder

SHARED = ("data/*.json", "models/*.json", "scores/*/meta.json", "logs/*.log", "logs/benchmark/*", "logs/model/*")
SHARED += ("logs/score/*/*", "logs/gather_scores/*", "logs/extra_score/*/*", "benchmarks/extra_score/*/*")
CELL_FOLDERS = ("pruned", "trained", "evaluation")
DIGEST = re.compile("[0-9a-f]{64}")
PROGRAM = Path(__file__).with_name("programs") / "collect_results.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a finished experiment's folder")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--package", type=Path, help="the folder that holds prunegrid, to compare two versions")
    options = parser.parse_args()
    environment = os.environ | ({"PYTHONPATH": str(options.package.resolve())} if options.package else {})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "results", "many")
        cells, files = multiply(read_folder(options.results), options.results, root, options.cells)
        runs = [(status(root, environment), collect(root, environment)) for _ in range(options.repeat)]
    fastest = {"status": min(run[0] for run in runs), "collect": min(run[1] for run in runs)}
    for name, seconds in fastest.items():
        print(f"{name:8} {seconds:6.2f} s   {1000 * seconds / cells:5.2f} ms a cell   ({cells} cells, {files} files)")
    print(json.dumps({"benchmark": "status", "cells": cells, "files": files, "seconds": fastest}))


def multiply(experiment: Experiment, source: Path, root: Path, minimum: int) -> tuple[int, int]:
    """Write an experiment of at least `minimum` finished cells to `root`; return the numbers of cells and files."""
    first, per_seed = experiment.seeds[0], sum(cell.seed == experiment.seeds[0] for cell in grid.cells(experiment))
    seeds = list(range(first, first + math.ceil(minimum / per_seed)))
    many = experiment.model_copy(update={"seeds": seeds})
    for pattern in SHARED:
        for file in source.glob(pattern):
            copy(file, root / file.relative_to(source))
    root.joinpath("experiment.json").write_text(json.dumps(many.model_dump(mode="json")))
    cells = grid.cells(many)
    digests: dict[int | None, dict[str, str]] = defaultdict(dict)
    for cell in cells:
        template = cell.path.replace(f"/seed{cell.seed}", f"/seed{first}")
        for kind in CELL_FOLDERS:
            for file in (source / kind / cell.model / template).glob("*.*"):
                copy(file, root / kind / cell.model / cell.path / file.name, cell.seed, digests[cell.seed])
        if cell.trained:
            (root / "trained" / cell.model / cell.path / "model").mkdir()
        for log in (source / "logs").glob(f"*/{cell.model}/{template}.log"):
            copy(log, root / "logs" / log.relative_to(source / "logs").parts[0] / cell.model / f"{cell.path}.log")
    return len(cells), sum(len(names) for _, _, names in os.walk(root))


def copy(file: Path, target: Path, seed: int | None = None, digests: dict[str, str] | None = None) -> None:
    """Copy a cell's file, with the cell's own seed in it, and with the paths and digests (old: new) of such copies."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if digests is None or file.suffix != ".json":
        shutil.copyfile(file, target)
        return
    text = re.sub(r"/seed\d+/", f"/seed{seed}/", file.read_text())
    content: dict[str, Any] = json.loads(DIGEST.sub(lambda match: digests.get(match[0], match[0]), text))
    if file.name in ("training.json", "selection.json"):
        if "seeds" in content:
            content["seeds"]["cell"] = seed
        else:
            content["seed"] = seed
    target.write_text(json.dumps(content, indent=1))
    digests[sha256sum(file)] = sha256sum(target)


def status(root: Path, environment: dict[str, str]) -> float:
    """Seconds of a process that finds all cells done."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "prunegrid.cli", "status", str(root)],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def collect(root: Path, environment: dict[str, str]) -> float:
    command = [sys.executable, PROGRAM, root]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds, *words = done.stdout.split()
    assert words == ["done"], words
    return float(seconds)


if __name__ == "__main__":
    main()
