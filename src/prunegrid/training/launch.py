"""Start the ranks of one training job, and leave its model and manifest whole or not at all."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prunegrid.core import gpus
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, replacing, sha256, write_json
from prunegrid.core.versions import STEP
from prunegrid.experiment import layout
from prunegrid.models import check_device, require_whole, sizes, weights_digest
from prunegrid.scoring.reader import ScoresFolder, check_digests
from prunegrid.training import checkpoints, memory, multinode
from prunegrid.training.job import Job, Order

WORKER = "prunegrid.training.worker"
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
DYNAMIC = (layout.SELECTION_LOG, layout.SUMMARY)


def train(job: Job, out: Path, manifest: Path, model_digests: dict[str, str] | None = None) -> dict[str, Any]:
    """Train, and write the model's folder `out` (adapter or full) and `manifest` (`training.json`).

    A dynamic cell's `selection_log.parquet` and `selection.json` stand beside the manifest. Checkpoints stand in
    `checkpoints` there until the job has ended well; one that was killed goes on from the newest of its own.
    Raises `PrunegridError` if the devices or nodes are not there, the scores or the selection belong to another model
    or data set, another job trains this cell, or a rank fails.
    """
    check_device(job.device, job.ranks_per_node)
    multinode.check_allocation(job.runtime.nodes)
    require_whole(job.model)
    scores = ScoresFolder(job.scores)
    scores.check_digests(model_digests or {})
    if job.selection is not None:
        summary = job.selection.with_suffix(".json")
        check_digests(summary, read_json(summary).get("digests", {}), scores.digests, "remove it and prune again")
    identity = _identity(job, scores.digests)
    folder = manifest.with_name(layout.CHECKPOINTS)
    with checkpoints.alone(folder) as lock:
        _clear(folder, out)
        shared = folder if job.runtime.nodes > 1 else None
        with replacing(out) as temporary, tempfile.TemporaryDirectory(dir=shared, prefix=multinode.SCRATCH) as scratch:
            temporary.mkdir(parents=True)
            order = Order(
                job=job,
                out=temporary,
                checkpoints=folder,
                reports=manifest.with_name("tensorboard"),
                error=Path(scratch, "error.json"),
                identity=identity,
                resume=checkpoints.newest(folder, identity),
                **memory.after_failures(folder, identity),
            )
            if order.resume is None:
                shutil.rmtree(order.reports, ignore_errors=True)
            started = time.monotonic()
            _run(order, Path(scratch, "order.json"), lock)
            report = _collect(order, manifest, round(time.monotonic() - started, 2))
            checkpoints.sync_all(temporary)
        shutil.rmtree(folder)
    return report


def _clear(folder: Path, out: Path) -> None:
    """Remove what an attempt left half-written that was killed without warning."""
    checkpoints.remove_unfinished(folder)
    for left in out.parent.glob(f".{out.name}.*.tmp"):
        shutil.rmtree(left)


def _identity(job: Job, digests: dict[str, str]) -> dict[str, Any]:
    """What a checkpoint must agree in to be gone on from."""
    own = job.model_dump(mode="json", include={"training", "pruning", "shuffled", "seed", "device"})
    selection = sha256(job.selection) if job.selection else None
    steps = ("train", "score", "prune") if job.pruning else ("train",)
    return {**own, "selection": selection, "digests": digests, "version": {name: STEP[name] for name in steps}}


def _collect(order: Order, manifest: Path, seconds: float) -> dict[str, Any]:
    """Put what the ranks wrote beside the model where it belongs; return `training.json`."""
    report: dict[str, Any] = read_json(order.out / "report.json")
    for scrap in ("report.json", "training_args.bin"):
        (order.out / scrap).unlink(missing_ok=True)
    for name in DYNAMIC:
        if (order.out / name).exists():
            (order.out / name).replace(manifest.with_name(name))
    report |= {"seconds": seconds, "digests": order.identity["digests"], "selection": order.identity["selection"]}
    report |= {"weights": weights_digest(order.out), "files": sizes(order.out)}
    try:
        write_json(manifest, report)
    except OSError as error:
        raise PrunegridError(
            f"{manifest}: {error.strerror}; {checkpoints.intact(order.checkpoints, order.identity)}"
        ) from error
    return report


def command(ranks: int, arguments: Sequence[str]) -> list[str]:
    """One node's launch line: one rank needs no launcher, several are torchrun's."""
    if ranks == 1:
        return [sys.executable, "-m", *arguments]
    return multinode.torchrun(ranks, ["--standalone"], arguments)


def _run(order: Order, spec: Path, lock: int) -> None:
    """Start the ranks and wait until all have ended. They stop when `spec` is no longer locked (`launcher_is_gone`)."""
    ranks, job, kills = order.job.training.ranks, order.job, kernel_kills()
    on_this_gpu = job.device == "cuda" and job.runtime.nodes == 1  # else each node takes its own
    line = multinode.command(job, WORKER, spec) if job.runtime.nodes > 1 else command(ranks, [WORKER, str(spec)])
    with (
        gpus.reserve(ranks if on_this_gpu else 0, slots=job.sharers) as mine,
        _forwarding(job.runtime.nodes > 1) as (children, asked, hand_on),
    ):
        order.checkpointing = order.checkpointing or memory.needs_checkpointing(job, mine.ids)
        spec.write_text(order.model_dump_json())
        with spec.open("r+") as alive:  # NFS locks a file alone only for who may write it
            fcntl.flock(alive, fcntl.LOCK_EX)
            environment = {**_environment(job), **mine.environment}
            process = subprocess.Popen(line, env=environment, pass_fds=[lock, *mine.fds], start_new_session=True)
            children.append(process)
            hand_on()
            code = process.wait()
        ended = checkpoints.wait_for_ranks(lock, multinode.GRACE_SECONDS)
    if not ended:
        raise PrunegridError(f"{order.checkpoints}: the launcher has ended with {code}, but a rank has not; kill it")
    if code:
        raise PrunegridError(_reason(order, code, kernel_kills() > kills, asked))


def launcher_is_gone(spec: int) -> bool:
    """Whether the launcher, which locks the file of this descriptor as long as it waits for the ranks, has ended."""
    try:
        fcntl.flock(spec, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _environment(job: Job) -> dict[str, str]:
    ranks, package = job.training.ranks, str(Path(__file__).parents[2])
    own = {
        "OMP_NUM_THREADS": str(max(1, job.threads // job.ranks_per_node)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
    }
    if ranks == 1:
        own |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    else:
        own |= multinode.GRACE
    if job.device == "cpu":
        own["DS_ACCELERATOR"] = "cpu"
    else:
        own |= gpus.allocator_environment()
    if job.training.deterministic:
        own.setdefault(CUBLAS, os.environ.get(CUBLAS, ":4096:8"))  # cuBLAS is deterministic with a fixed workspace
    return {**os.environ, **own}


@contextmanager
def _forwarding(to_srun: bool = False) -> Iterator[tuple[list[subprocess.Popen[bytes]], list[int], Callable[[], None]]]:
    """Hand the first signal that asks for an end on to the ranks, which save before they obey; note all.

    Python gives signals to its main thread: in another one they are the caller's own affair.
    """
    children: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []
    handed: list[int] = []

    def hand_on() -> None:
        if asked and children and not handed:  # a second one would make torchrun leave its ranks behind
            handed.append(asked[0])
            children[0].send_signal(multinode.PASSED_ON if to_srun else asked[0])

    def note(number: int, _: Any) -> None:
        asked.append(number)
        hand_on()

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, note) for number in multinode.FORWARDED} if main else {}
    try:
        yield children, asked, hand_on
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory so far: of this cgroup, else of the machine."""
    groups = Path("/proc/self/cgroup")
    own = groups.read_text().rpartition("0::/")[2].strip() if groups.exists() else ""
    for path in (Path("/sys/fs/cgroup", own, "memory.events"), Path("/proc/vmstat")):
        with suppress(OSError):
            counts = dict(line.split() for line in path.read_text().splitlines())
            return int(counts["oom_kill"])
    return 0


def _reason(order: Order, code: int, kernel_killed: bool, asked: list[int]) -> str:
    """Why the ranks ended. Only after a certain want of memory the next attempt halves the passes: any other job
    that was killed must end with the very weights that it would have had."""
    told = _told(order.error)
    cause, intact = told.get("cause"), checkpoints.intact(order.checkpoints, order.identity)
    if cause == "memory" or (kernel_killed and cause in (None, "lost")):
        reason = told["message"] if cause == "memory" else "the kernel killed a rank for want of memory"
        return f"{reason}; {intact}; {memory.with_less(order)}"
    if asked and cause in (None, "lost"):
        return f"stopped by {signal.Signals(asked[0]).name}; {intact}"
    if told:
        return str(told["message"])
    if code < 0:
        return f"training was killed by {signal.Signals(-code).name}; {intact}; the same command goes on from there"
    return f"training stopped with exit code {code}: the reason is further up in this log; {intact}"


def _told(path: Path) -> dict[str, Any]:
    """What a rank has left to say; nothing if it was killed before it could, or while it did."""
    with suppress(FileNotFoundError, json.JSONDecodeError):
        told: dict[str, Any] = json.loads(path.read_text())
        return told
    return {}
