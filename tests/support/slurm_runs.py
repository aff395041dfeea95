"""Run the workflow on a private Slurm, and compare what two runs have left."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from support.private_slurm import GPU_MODEL, PrivateSlurm
from support.snakemake_runs import DEFAULT, ROOT

CONFIG: dict[str, Any] = copy.deepcopy(DEFAULT)
CONFIG["variants"] = ["random+random", "qtuning"]
CONFIG["dataset"]["max_samples"] = 64
CONFIG["models"] = {"sandbox-1M": {"pretrain": {"seed": 0, "steps": 5, "hidden_size": 32, "layers": 2}}}
CONFIG["training"] |= {"num_train_epochs": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
CONFIG["runtime"] = {"save_steps": 2, "report_to": []}
CONFIG["evaluation"]["benchmarks"] = {
    name: {**benchmark, "limit": 8}
    for name, benchmark in DEFAULT["evaluation"]["benchmarks"].items()
    if name in ("ARC-E", "GSM8K")
}
CONFIG["references"] = ["full"]
# A user's own profile; four (fake) GPUs a training, so that two fit on a node.
USER_PROFILE = {
    "set-resources": {"train": {"slurm_partition": "gpu", "gpu": 4, "gpu_model": GPU_MODEL}},
    "latency-wait": 5,
}
TABLE = "results/sandbox/table/table.md"  # neither figures nor page: they are no other jobs than these
NUMBERS = ["variant", "seed", "benchmark", "score", "delta", "realised_sample_ratio", "realised_token_ratio", "status"]
SUPPORT_DIR = Path(__file__).parent


@contextmanager
def started(
    slurm: PrivateSlurm, folder: Path, *arguments: str, mine: dict[str, Any], **changes: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Snakemake on this Slurm, with the shipped profile and a user's own; its output is in `run.log`."""
    folder.mkdir(exist_ok=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(CONFIG | changes, sort_keys=False))
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine))
    command = [sys.executable, str(SUPPORT_DIR / "programs/quick_snakemake.py"), *arguments]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--profile", str(ROOT / "profiles/slurm"), "--profile", str(folder / "mine.yaml")]
    command += ["--configfile", str(folder / "experiment.yaml")]
    path = os.pathsep.join([str(SUPPORT_DIR / "hold"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = slurm.environment | {"PYTHONPATH": path}
    environment["PATH"] = f"{slurm.folder}/bin:{Path(sys.executable).parent}:{environment['PATH']}"
    with (folder / "run.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        yield process
    finally:
        process.kill()


def run(slurm: PrivateSlurm, folder: Path, *arguments: str, mine: dict[str, Any], **changes: Any) -> str:
    """Snakemake to its end, which has to be a good one; what it said."""
    with started(slurm, folder, *arguments, mine=mine, **changes) as process:
        finish(process, folder)
    return (folder / "run.log").read_text()


def finish(process: subprocess.Popen[bytes], folder: Path, seconds: float = 600) -> None:
    code = process.wait(seconds)
    assert code == 0, (folder / "run.log").read_text()[-6000:]


def numbers(folder: Path) -> list[dict[str, Any]]:
    """The table's scores, deltas and ratios, in its order."""
    frame = pq.read_table(folder / "results/sandbox/results.parquet", columns=NUMBERS).to_pylist()
    assert frame
    return frame
