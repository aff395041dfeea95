"""Start the ranks of one training job, and leave its model and manifest whole or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from prunegrid import devices
from prunegrid.config import Runtime, Training
from prunegrid.errors import PrunegridError
from prunegrid.io import read_json, replacing, sha256, write_json
from prunegrid.models import check_device
from prunegrid.scores import check_digests
from prunegrid.train import checkpoints
from prunegrid.versions import STEP

WORKER = "prunegrid.train.worker"
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
GRACE_SECONDS = 300
OUT_OF_MEMORY = 3
DYNAMIC = ("selection_log.parquet", "selection.json")


class Job(BaseModel):
    """What one training job reads and does.

    `selection` is a static cell's; `pruning` (variant, method, options and the two ratios) a dynamic one's; the
    full data set has neither. `shuffled`: each prompt is given another sample's response.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    scores: Path
    selection: Path | None = None
    pruning: dict[str, Any] | None = None
    shuffled: bool = False
    training: Training
    runtime: Runtime = Runtime()
    seed: int
    device: str = "cpu"
    threads: int = 1


class Order(BaseModel):
    """What the ranks are told: the job, where to write, and what an earlier attempt left."""

    job: Job
    out: Path
    checkpoints: Path
    reports: Path
    error: Path
    identity: dict[str, Any]
    resume: Path | None = None
    halvings: int = 0


def train(job: Job, out: Path, manifest: Path, model_digests: dict[str, str] | None = None) -> dict[str, Any]:
    """Train, and write the model's folder `out` (adapter or full) and `manifest` (`training.json`).

    A dynamic cell's `selection_log.parquet` and `selection.json` stand beside the manifest. Checkpoints stand in
    `checkpoints` there until the job has ended well; one that was killed goes on from the newest of its own.
    Raises `PrunegridError` if the devices are not there, the scores or the selection belong to another model or
    data set, another job trains this cell, or a rank fails.
    """
    check_device(job.device, job.training.ranks)
    meta = read_json(job.scores / "meta.json")
    check_digests(meta, model_digests or {})
    if job.selection is not None:
        check_digests(read_json(job.selection.with_suffix(".json")), meta.get("digests", {}))
    identity = _identity(job, meta.get("digests", {}))
    folder = manifest.with_name("checkpoints")
    with checkpoints.alone(folder) as lock:
        with replacing(out) as temporary, tempfile.TemporaryDirectory() as scratch:
            temporary.mkdir(parents=True)
            order = Order(
                job=job,
                out=temporary,
                checkpoints=folder,
                reports=manifest.with_name("tensorboard"),
                error=Path(scratch, "error.json"),
                identity=identity,
                resume=checkpoints.newest(folder, identity),
                halvings=_halvings(folder),
            )
            started = time.monotonic()
            _run(order, Path(scratch, "order.json"), lock)
            report = _collect(order, manifest, round(time.monotonic() - started, 2))
        shutil.rmtree(folder)
    return report


def _identity(job: Job, digests: dict[str, str]) -> dict[str, Any]:
    """What a checkpoint must agree in to be gone on from."""
    own = job.model_dump(mode="json", include={"training", "pruning", "shuffled", "seed", "device"})
    selection = sha256(job.selection) if job.selection else None
    return {**own, "selection": selection, "digests": digests, "version": STEP["train"]}


def _collect(order: Order, manifest: Path, seconds: float) -> dict[str, Any]:
    """Put what the ranks wrote beside the model where it belongs; return `training.json`."""
    report: dict[str, Any] = read_json(order.out / "report.json")
    for scrap in ("report.json", "training_args.bin"):
        (order.out / scrap).unlink(missing_ok=True)
    for name in DYNAMIC:
        if (order.out / name).exists():
            (order.out / name).replace(manifest.with_name(name))
    report |= {"seconds": seconds, "digests": order.identity["digests"], "selection": order.identity["selection"]}
    write_json(manifest, report)
    return report


def _halvings(folder: Path) -> int:
    """How often passes have been halved because an earlier attempt ran out of memory."""
    path = folder / "memory.json"
    return int(read_json(path)["halvings"]) if path.exists() else 0


def command(ranks: int, arguments: Sequence[str], nodes: int = 1) -> list[str]:
    """The launch line of one node. One rank needs no launcher; several are torchrun's, whose rendezvous address
    (`PRUNEGRID_RENDEZVOUS`, host:port) must be given where there are several nodes."""
    python = [sys.executable, "-m"]
    if ranks == 1:
        return [*python, *arguments]
    signals = ",".join(number.name for number in FORWARDED)
    meeting = ["--standalone"]
    if nodes > 1:
        meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={os.environ['PRUNEGRID_RENDEZVOUS']}"]
    torchrun = ["torch.distributed.run", *meeting, f"--nproc-per-node={ranks // nodes}"]
    waiting = [f"--signals-to-handle={signals}", f"--shutdown-timeout={GRACE_SECONDS}"]
    return [*python, *torchrun, *waiting, "-m", *arguments]


def _run(order: Order, spec: Path, lock: int) -> None:
    spec.write_text(order.model_dump_json())
    ranks, job = order.job.training.ranks, order.job
    with devices.taken(ranks if job.device == "cuda" else 0) as mine:
        process = subprocess.Popen(
            command(ranks, [WORKER, str(spec)]),
            env={**_environment(job), **mine.environment} if mine.ids else _environment(job),
            pass_fds=[lock, *mine.fds],
            start_new_session=True,
        )
        with _forwarding(process):
            code = process.wait()
    if code:
        raise PrunegridError(_reason(order, code))


def _environment(job: Job) -> dict[str, str]:
    ranks, package = job.training.ranks, str(Path(__file__).parents[2])
    own = {
        "OMP_NUM_THREADS": str(max(1, job.threads // ranks)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
    }
    if ranks == 1:
        own |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    if job.device == "cpu":
        own |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **own}


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand signals that ask for an end on to the ranks, which save before they obey."""

    def forward(number: int, _: Any) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reason(order: Order, code: int) -> str:
    """Why the ranks ended; after a want of memory the next attempt halves the passes."""
    told = json.loads(order.error.read_text()) if order.error.exists() else {}
    if told.get("out_of_memory") or code == -signal.SIGKILL:
        write_json(order.checkpoints / "memory.json", {"halvings": order.halvings + 1})
        reason = told.get("message") or "killed with SIGKILL, as the kernel does when memory runs out"
        return f"{reason}; the next attempt halves its forward passes (same global batch)"
    return told.get("message") or f"training stopped with exit code {code}: the reason is further up in this log"
