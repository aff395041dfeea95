"""GPUs for several local jobs on one node: which ids are this job's, for as long as it or a child of it lives.

Snakemake counts GPUs but does not say which (`--resources gpu=4`); every job that uses some asks here:

    with devices.taken(2) as mine:
        subprocess.run(command, env={**os.environ, **mine.environment}, pass_fds=mine.fds)

An id is taken by a lock (`flock`) on a file of its own, which the kernel gives back when the last process that holds
it ends, however it ends. `pass_fds` makes the child such a process: if the launcher is killed and the child lives on,
its GPUs stay taken. The child has to pass the descriptors on in its turn; torchrun does not: it holds them itself.

Not seen, so not excluded: jobs of other users, in other containers or with another temporary folder; programs that do
not ask here; one GPU that one job names by index and another by UUID, or by the index of another CUDA_DEVICE_ORDER.
Ask once a job: a block inside another one waits for what its own job has.
"""

import fcntl
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from prunegrid.errors import PrunegridError

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # the second is the older name
ALLOCATIONS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID")
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds between two tries


class Taken(NamedTuple):
    """Ids as `CUDA_VISIBLE_DEVICES` has them, and the open lock files, for a child's `pass_fds`."""

    ids: list[str]
    fds: list[int]

    @property
    def environment(self) -> dict[str, str]:
        return {VISIBLE: ",".join(self.ids)}


@contextmanager
def taken(count: int, wait_seconds: float | None = None) -> Iterator[Taken]:
    """Hold `count` of this process's GPUs; while too few are free, wait (`None`: as long as it takes).

    All are taken or none: a job that waits holds nothing, so two cannot wait for each other. Nobody queues either:
    one that wants many can be overtaken by those that want few. Call it before this process uses CUDA, which reads
    `CUDA_VISIBLE_DEVICES` only once. Raises `PrunegridError` if there are too few GPUs, or the time is up.
    """
    ids = pool() if count else []
    if len(ids) < count:
        raise PrunegridError(
            f"{count} GPU(s) are needed, but {_where()} there are {len(ids)} ({', '.join(ids) or 'none'}): "
            f"ask for fewer (training.ranks), or run where there are more"
        )
    held = _wait(ids, count, wait_seconds) if count else {}
    try:
        yield Taken(list(held), list(held.values()))
    finally:
        for fd in held.values():
            os.close(fd)  # never LOCK_UN, which would also take the lock from a child that still has it


def allocator() -> dict[str, str]:
    """Environment of a process that uses a GPU: passes of ever other lengths do not fragment its memory.

    Whoever has set the variable, under either of its names, has decided that already.
    """
    decided = any(name in os.environ for name in ALLOCATOR)
    return {} if decided else {ALLOCATOR[0]: "expandable_segments:True"}


@contextmanager
def own(device: str) -> Iterator[None]:
    """Hold one GPU for this very process where `device` is cuda, and nothing elsewhere; enter before CUDA is used."""
    with taken(1 if device == "cuda" else 0) as mine:
        if mine.ids:
            os.environ |= mine.environment | allocator()
        yield


def pool() -> list[str]:
    """The ids that this process may use: those of `CUDA_VISIBLE_DEVICES` where it is set, else all of the node."""
    if (visible := os.environ.get(VISIBLE)) is not None:
        ids = [name.strip() for name in visible.split(",")]
        end = next((i for i, name in enumerate(ids) if name in ("", "-1", "NoDevFiles")), len(ids))
        return list(dict.fromkeys(ids[:end]))  # as CUDA reads it: what follows an invalid id is not visible
    if shutil.which("nvidia-smi"):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
        slices = re.findall(r"\(UUID: (MIG-[^)]+)\)", listed)
        return slices or [str(i) for i in range(len(re.findall(r"^GPU \d+:", listed, re.MULTILINE)))]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def _wait(ids: list[str], count: int, wait_seconds: float | None) -> dict[str, int]:
    folder, started, pause = _folder(), time.monotonic(), FIRST_WAIT
    while not (held := _try(folder, ids, count)):
        left = float("inf") if wait_seconds is None else started + wait_seconds - time.monotonic()
        if left <= 0:
            raise PrunegridError(
                f"{count} of the GPUs {', '.join(ids)} did not become free in {wait_seconds:g} s: "
                f"wait longer, or end the jobs that hold them (lslocks names them; the locks are in {folder})"
            )
        if pause == FIRST_WAIT:
            print(f"prunegrid: waiting for {count} of the GPUs {', '.join(ids)} (locks in {folder})", file=sys.stderr)
        time.sleep(min(left, pause * random.uniform(0.5, 1)))
        pause = min(LONGEST_WAIT, pause * 1.5)
    return held


def _try(folder: Path, ids: list[str], count: int) -> dict[str, int]:
    """Lock the first `count` ids that are free: id to descriptor; nothing where fewer are free.

    One try at a time (`gate`), so that two do not each take half of what is free and both give up.
    """
    held: dict[str, int] = {}
    gate = _open(folder / "gate")
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for name in ids:
            if (
                len(held) < count
                and (fd := _locked(folder / f"{_allocation()}{quote(name, safe='')}.lock")) is not None
            ):
                held[name] = fd
        if len(held) == count:
            return held
        for fd in held.values():
            os.close(fd)
        return {}
    finally:
        os.close(gate)


def _locked(path: Path) -> int | None:
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _folder() -> Path:
    """This user's folder of locks for this host (a temporary folder may be shared), which nobody else can enter."""
    folder = Path(tempfile.gettempdir(), f"prunegrid-gpus-{os.geteuid()}-{socket.gethostname()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PrunegridError(
            f"{folder}: must be a folder of yours that nobody else can enter (mode 0700); remove it or set TMPDIR"
        )
    return folder


def _allocation() -> str:
    """The scheduler's job, if any: index 0 of two jobs is two GPUs where the scheduler shows each job only its own."""
    return next((f"{name}-{quote(os.environ[name], safe='')}-" for name in ALLOCATIONS if os.environ.get(name)), "")


def _where() -> str:
    return f"in {VISIBLE}={os.environ[VISIBLE]}" if VISIBLE in os.environ else "on this machine"
