"""Start the ranks of one training job, and leave its model and manifest whole or not at all."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from prunegrid.config import Training
from prunegrid.errors import PrunegridError
from prunegrid.io import read_json, replacing, sha256, write_json
from prunegrid.models import check_device
from prunegrid.scores import check_digests

ERROR = "error.txt"


class Job(BaseModel):
    """What one training job reads and does; `selection` is null for the full data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    scores: Path
    selection: Path | None = None
    training: Training
    seed: int
    device: str = "cpu"
    threads: int = 1


def train(job: Job, out: Path, manifest: Path, model_digests: dict[str, str] | None = None) -> dict[str, Any]:
    """Train, and write the model's folder `out` (adapter or full) and `manifest` (`training.json`).

    Raises `PrunegridError` if the devices are not there, the scores or the selection belong to another
    model or data set, or a rank fails.
    """
    check_device(job.device, job.training.ranks)
    meta = read_json(job.scores / "meta.json")
    check_digests(meta, model_digests or {})
    if job.selection is not None:
        check_digests(read_json(job.selection.with_suffix(".json")), meta.get("digests", {}))
    with replacing(out) as folder:
        folder.mkdir(parents=True)
        spec = folder / "job.json"
        spec.write_text(job.model_dump_json())
        started = time.monotonic()
        _launch(job, spec)
        report: dict[str, Any] = read_json(folder / "report.json")
        report["seconds"] = round(time.monotonic() - started, 2)
        for scrap in (spec, folder / "report.json", folder / "training_args.bin"):
            scrap.unlink(missing_ok=True)
        shutil.rmtree(folder / "trainer", ignore_errors=True)
        selection = sha256(job.selection) if job.selection else None
        write_json(manifest, {**report, "digests": meta.get("digests", {}), "selection": selection})
    return report


def _launch(job: Job, spec: Path) -> None:
    ranks = job.training.ranks
    threads = str(max(1, job.threads // ranks))
    package = str(Path(__file__).parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    if job.device == "cpu":
        environment |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    done = subprocess.run([*command, "-m", "prunegrid.train.worker", str(spec)], env=environment)
    if done.returncode:
        error = spec.with_name(ERROR)
        reason = error.read_text() if error.exists() else "the reason is further up in this log"
        raise PrunegridError(f"training stopped with exit code {done.returncode}: {reason}")
