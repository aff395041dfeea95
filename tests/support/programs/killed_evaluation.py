"""`python killed_evaluation.py ORDER`: an evaluation that is killed once it has handed over a benchmark."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from prunegrid.evaluation import cache
from prunegrid.evaluation.evaluate import evaluate
from prunegrid.experiment.evaluation import Benchmark

export = cache.EvaluationCache.export


def export_and_die(self: Any, name: str, record: dict[str, Any]) -> None:
    export(self, name, record)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    cache.EvaluationCache.export = export_and_die
    evaluate(
        Path(given["model"]),
        Path(given["out"]),
        benchmarks={name: Benchmark.model_validate(value) for name, value in given["benchmarks"].items()},
        data={name: Path(path) for name, path in given["data"].items()},
        digests=given["digests"],
    )
