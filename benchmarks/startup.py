"""What a cell's `train` and `evaluate` jobs cost beside the training loop and the asking: seconds by phase.

    python benchmarks/startup.py results/sandbox [--cell s0.125-t0.5/qtuning/seed0] [--repeat 3] [--package workflow]

Reads a finished experiment with one model and writes to a temporary folder. Each job does what its script does, in a
fresh process (Snakemake's own 0.1 s a job is not in it). Phases: `start` to the script's first line; `imports`; `load`
(evaluate: checks, model; train: everything around the loop, in all its processes); `work` (the loop; the asking, as
the records have it); `exit`. `cpu` is user + system of the job and its children, and is what to compare where
neighbours disturb: of `--repeat` runs the one with the least is shown. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HEAD = """
import time; begun = time.time()
import json, sys
from pathlib import Path
from prunegrid.core.step import step
root, cell, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
with step(str(out / "log")):
    from prunegrid.core.files import read_json
    experiment = read_json(root / "experiment.json")
    (name,) = experiment["models"]
    model, trained = root / "models" / name, root / "trained" / name / cell / "model"
    digests = read_json(root / "models" / f"{name}.json")["digests"]
"""
EVALUATE = """
    import torch
    from prunegrid.experiment.sections import Evaluation
    from prunegrid.evaluation.evaluate import evaluate
    from prunegrid.evaluation import harness
    from transformers import LlamaForCausalLM  # which loading would import
    imported = time.time()
    torch.set_num_threads(1)
    settings = Evaluation.model_validate(experiment["evaluation"])
    records = evaluate(trained, out / "scores", benchmarks=settings.benchmarks, protocol=settings.protocol,
                       data={b: root / f"data/benchmarks/{b}.jsonl" for b in settings.benchmarks},
                       batch_tokens=settings.batch_tokens, dtype=settings.dtype, digests=digests)
    work = sum(record["seconds"] for record in records.values())
"""
TRAIN = """
    from prunegrid.experiment.sections import Training
    from prunegrid.training import Job, train
    imported = time.time()
    job = Job(model=model, scores=root / "scores" / name, selection=root / "pruned" / name / cell / "selection.parquet",
              training=Training.model_validate(experiment["training"]), seed=0)
    report = train(job, out / "model", out / "training.json", digests)
    work = report.get("loop_seconds", report["seconds"])
"""
TAIL = """
    marks = {"begun": begun, "imported": imported, "done": time.time(), "work": work}
    (out / "marks.json").write_text(json.dumps(marks))
"""
PHASES = ("start", "imports", "load", "work", "exit", "overhead", "wall", "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a finished experiment's folder")
    parser.add_argument("--cell", default="s0.125-t0.5/qtuning/seed0", help="a pruned cell of it")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", default=["train", "evaluate"], choices=["train", "evaluate"])
    parser.add_argument("--package", type=Path, help="the folder that holds prunegrid, to compare two versions")
    options = parser.parse_args()
    code = {"train": HEAD + TRAIN + TAIL, "evaluate": HEAD + EVALUATE + TAIL}
    print(f"{'job':9}" + "".join(f"{phase:>10}" for phase in PHASES))
    best = {}
    for job in options.jobs:
        runs = [run(code[job], options) for _ in range(options.repeat)]
        best[job] = min(runs, key=lambda row: row["cpu"])
        print(f"{job:9}" + "".join(f"{best[job][phase]:10.2f}" for phase in PHASES), flush=True)
    print(json.dumps({"benchmark": "startup", "cell": options.cell, "repeat": options.repeat, "jobs": best}))


def run(code: str, options: argparse.Namespace) -> dict[str, float]:
    """One job in a process of its own; its seconds by phase."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    if options.package:
        environment["PYTHONPATH"] = str(options.package.resolve())
    with tempfile.TemporaryDirectory() as folder:
        before, started = cpu_seconds(), time.time()
        command = [sys.executable, "-c", code, str(options.results.resolve()), options.cell, folder]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        ended = time.time()
        if done.returncode:
            sys.exit(done.stderr)
        marks: dict[str, Any] = json.loads(Path(folder, "marks.json").read_text())
    phases = {
        "start": marks["begun"] - started,
        "imports": marks["imported"] - marks["begun"],
        "load": marks["done"] - marks["imported"] - marks["work"],
        "work": marks["work"],
        "exit": ended - marks["done"],
    }
    wall = ended - started
    totals = {"overhead": wall - marks["work"], "wall": wall, "cpu": cpu_seconds() - before}
    return {phase: round(seconds, 2) for phase, seconds in (phases | totals).items()}


def cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
