"""One job of benchmarks/startup.py, as the workflow's script does it: startup_job.py train|evaluate RESULTS CELL OUT.

Writes the clock's times of its phases to OUT/marks.json.
"""

import time

START = time.time()  # before any other import, which is a phase of its own

import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from prunegrid.core.step import step  # noqa: E402


def main() -> None:
    kind, root, cell, out = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    with step(str(out / "log")):
        from prunegrid.core.files import read_json

        experiment = read_json(root / "experiment.json")
        (name,) = experiment["models"]
        digests = read_json(root / "models" / f"{name}.json")["digests"]
        imported, work = {"train": train, "evaluate": evaluate}[kind](experiment, root, name, cell, out, digests)
        marks = {"start": START, "imported": imported, "done": time.time(), "work": work}
        (out / "marks.json").write_text(json.dumps(marks))


def train(experiment: dict[str, Any], root: Path, name: str, cell: str, out: Path, digests: Any) -> tuple[float, float]:
    """When the imports ended, and seconds of the training loop."""
    from prunegrid.experiment.training import Training
    from prunegrid.training import Job, train

    imported = time.time()
    job = Job(
        model=root / "models" / name,
        scores=root / "scores" / name,
        selection=root / "pruned" / name / cell / "selection.parquet",
        training=Training.model_validate(experiment["training"]),
        seed=0,
    )
    report = train(job, out / "model", out / "training.json", digests)
    return imported, report.get("loop_seconds", report["seconds"])


def evaluate(
    experiment: dict[str, Any], root: Path, name: str, cell: str, out: Path, digests: Any
) -> tuple[float, float]:
    """When the imports ended, and seconds of the evaluation alone, as its records have them."""
    import torch
    from transformers import LlamaForCausalLM  # noqa: F401  # loading would import it

    from prunegrid.evaluation import harness  # noqa: F401
    from prunegrid.evaluation.evaluate import evaluate
    from prunegrid.experiment.evaluation import Evaluation

    imported = time.time()
    torch.set_num_threads(1)
    settings = Evaluation.model_validate(experiment["evaluation"])
    records = evaluate(
        root / "trained" / name / cell / "model",
        out / "scores",
        benchmarks=settings.benchmarks,
        protocol=settings.protocol,
        data={benchmark: root / f"data/benchmarks/{benchmark}.jsonl" for benchmark in settings.benchmarks},
        batch_tokens=settings.batch_tokens,
        dtype=settings.dtype,
        digests=digests,
    )
    return imported, sum(record["seconds"] for record in records.values())


if __name__ == "__main__":
    main()
