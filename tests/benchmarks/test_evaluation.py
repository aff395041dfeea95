"""benchmarks/evaluation.py: what it refuses, and its rates worked by hand."""

import importlib.util
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evaluation.py"


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_of_evaluation", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_task_that_lm_eval_cannot_ask_is_refused(tmp_path: Path) -> None:
    asked = {
        name: {"task": task, "data": {"path": "x"}}
        for name, task in (("GSM8K", "gsm8k"), ("ARC", "arc_easy"), ("ARC-D", "arc_easy_vllm_divisor"))
    }
    experiment = {"models": {"m": {}}, "evaluation": {"protocol": "paper", "benchmarks": asked}}
    (tmp_path / "experiment.json").write_text(json.dumps(experiment))
    for name, reason in (
        ("ARC", "arc_easy is scored_by nll_per_token"),
        ("ARC-D", "arc_easy_vllm_divisor is scored_by nll_per_prediction"),
    ):
        done = subprocess.run([sys.executable, SCRIPT, tmp_path, "--tasks", name], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == (
            f"{name}: paper's {reason}, for which lm_eval has no request; leave it out: name the others with --tasks\n"
        )


def test_rates_by_hand() -> None:
    """30 items; the least of two runs: 5 s by the clock, 3 s of CPU. A task has a rate where its seconds are told."""
    benchmark = loaded()
    setting = benchmark.Setting(Path(), Path(), {}, {}, Namespace(), {"A": 10, "B": 20})
    ours = benchmark.least([benchmark.Run({}, (6, 3), {"A": 1, "B": 8}), benchmark.Run({}, (5, 4), {"A": 2, "B": 4})])
    rates = benchmark.rates(setting, {"ours": ours, "command": benchmark.Run({}, (60, 12), {})})
    assert rates == {
        "items_per_second": {"ours": {"A": 10, "B": 5, "total": 6}, "command": {"total": 0.5}},
        "items_per_cpu_second": {"ours": 10, "command": 2.5},
    }
