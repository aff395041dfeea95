"""The side `ours` of benchmarks/evaluation.py: evaluate the job in the JSON argument as the workflow's script does."""

import json
import sys
from pathlib import Path

from prunegrid.core.step import step

job = json.loads(sys.argv[1])
with step(job["log"]):
    import torch

    from prunegrid.evaluation.evaluate import evaluate
    from prunegrid.experiment.evaluation import Benchmark
    from prunegrid.models import weights_digest

    torch.set_num_threads(job["threads"])
    model = Path(job["model"])
    evaluate(
        model,
        Path(job["out"]),
        benchmarks={name: Benchmark.model_validate(benchmark) for name, benchmark in job["benchmarks"].items()},
        data={name: Path(file) for name, file in job["data"].items()},
        protocol=job["protocol"],
        batch_tokens=job["batch_tokens"],
        dtype=job["dtype"],
        device=job["device"],
        digests={"weights": weights_digest(model)},
    )
