"""GPUs for several local jobs on one node: an id is reserved for a job as long as it or a child of it lives.

Snakemake counts GPUs but does not say which (`--resources gpu=4`). Every job that uses some reserves them here:

    with gpus.reserve(2) as gpus_of_job:
        subprocess.run(command, env={**os.environ, **gpus_of_job.environment}, pass_fds=gpus_of_job.fds)

An id is reserved by a lock (`flock`, see `gpu_locks`) on a file of its own, which the kernel releases when the last
process that holds it ends, however it ends. `pass_fds` makes the child such a process: if the launcher is killed and
the child lives on, its GPUs stay reserved. The child must pass the descriptors on in turn; torchrun does not: it holds
them itself. With `slots`, that many jobs share a GPU; each reserves one GPU with the same number of slots.

A job never waits for itself. A process that was started with the reservation's `environment` and reserves again gets
its job's own GPUs; a block inside another one of the same thread gets free GPUs, or an error if there are too few.

Not seen, so not excluded: jobs of other users, in other containers or with another temporary folder; programs that do
not reserve here; one GPU that one job names by index and another by UUID, or by the index of another CUDA_DEVICE_ORDER.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from prunegrid.core import gpu_locks
from prunegrid.core.errors import PrunegridError
from prunegrid.core.gpu_locks import Locks

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # the second is the older name
HOLDER = "PRUNEGRID_GPU_HOLDER"  # the token of the locks that this process's job holds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two attempts
PRINT_MEMORY = (
    "from torch import cuda; print(*(cuda.get_device_properties(i).total_memory for i in range(cuda.device_count())))"
)


class Reservation(NamedTuple):
    """Ids as in `CUDA_VISIBLE_DEVICES`, the open lock files, for a child's `pass_fds`, and the locks' token."""

    ids: list[str]
    fds: list[int]
    token: str

    @property
    def environment(self) -> dict[str, str]:
        return {VISIBLE: ",".join(self.ids)} | ({HOLDER: self.token} if self.ids else {})


class _Blocks(threading.local):
    """How many blocks that hold GPUs this thread is in."""

    number = 0


_blocks = _Blocks()


@contextmanager
def reserve(count: int, wait_seconds: float | None = None, slots: int = 1) -> Iterator[Reservation]:
    """Hold `count` of this process's GPUs; if too few are free, wait up to `wait_seconds` (`None`: without limit).

    A single GPU may be shared with other jobs: one of its `slots` is held, on the GPU with the fewest jobs. A job of
    several GPUs has each to itself. All are reserved or none: a waiting job holds nothing, so two cannot wait for each
    other. There is no queue: a job that needs many GPUs can be overtaken by jobs that need few. Enter before this
    process uses CUDA, which reads `CUDA_VISIBLE_DEVICES` only once. Raises `PrunegridError` if there are too few GPUs,
    or the time is up.
    """
    if not count:
        yield Reservation([], [], "")
        return
    ids, token_of_job = visible_ids(), os.environ.get(HOLDER)
    if len(ids) < count:
        problem = f"has {len(ids)} GPU(s) ({', '.join(ids) or 'none'}), but {count} are needed"
        raise PrunegridError(_pool(), problem, "request fewer (training.ranks), or run on a machine with more")
    ids_of_job = gpu_locks.ids_locked_by(token_of_job, ids) if token_of_job else []
    if token_of_job and len(ids_of_job) >= count:
        yield Reservation(ids_of_job[:count], [], token_of_job)
        return
    token, slots = uuid.uuid4().hex, slots if count == 1 else 1
    if ids_of_job or _blocks.number:
        acquired = _acquire_immediately(ids, count, slots, token)
    else:
        acquired = _acquire(ids, count, slots, token, wait_seconds)
    _blocks.number += 1
    try:
        yield Reservation(list(acquired), [fd for descriptors in acquired.values() for fd in descriptors], token)
    finally:
        _blocks.number -= 1
        gpu_locks.release(acquired)


def allocator_environment() -> dict[str, str]:
    """Environment that keeps passes of varying lengths from fragmenting the GPU's memory.

    Empty if the user has set the variable, under either of its names.
    """
    is_set = any(name in os.environ for name in ALLOCATOR)
    return {} if is_set else {ALLOCATOR[0]: "expandable_segments:True"}


@contextmanager
def use_device(device: str, slots: int = 1) -> Iterator[None]:
    """Hold one GPU, or one of its `slots`, for this very process if `device` is cuda; nothing otherwise.

    Enter before CUDA is used.
    """
    with reserve(1 if device == "cuda" else 0, slots=slots) as reservation:
        if reservation.ids:
            os.environ |= reservation.environment | allocator_environment()
        yield


def visible_ids() -> list[str]:
    """The ids that this process may use: those in `CUDA_VISIBLE_DEVICES` if it is set, else all of the node."""
    if (visible := os.environ.get(VISIBLE)) is not None:
        ids = [name.strip() for name in visible.split(",")]
        end = next((i for i, name in enumerate(ids) if name in ("", "-1", "NoDevFiles")), len(ids))
        return list(dict.fromkeys(ids[:end]))  # as CUDA does: ids after an invalid one are not visible
    if shutil.which("nvidia-smi"):
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
        slices = re.findall(r"\(UUID: (MIG-[^)]+)\)", listing)
        return slices or [str(i) for i in range(len(re.findall(r"^GPU \d+:", listing, re.MULTILINE)))]
    import torch  # takes seconds, and most processes that import this module need none of it

    return [str(i) for i in range(torch.cuda.device_count())]


def memory_bytes(ids: list[str]) -> int | None:
    """The memory of the smallest of these GPUs; None if it cannot be determined.

    nvidia-smi knows whole GPUs only. Torch knows all kinds of ids, but takes seconds; it is queried in another process,
    so that this one does not initialise CUDA.
    """
    if shutil.which("nvidia-smi") and not any("MIG" in name for name in ids):
        query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits", f"--id={','.join(ids)}"]
        mebibytes = subprocess.run(query, capture_output=True, text=True).stdout.split()
        if mebibytes and all(word.isdigit() for word in mebibytes):
            return min(map(int, mebibytes)) * 2**20
    environment = {**os.environ, VISIBLE: ",".join(ids)}
    command = [sys.executable, "-c", PRINT_MEMORY]
    output = subprocess.run(command, capture_output=True, text=True, env=environment).stdout
    return min(map(int, output.split()), default=None)


def _acquire(ids: list[str], count: int, slots: int, token: str, wait_seconds: float | None) -> Locks:
    deadline, pause = float("inf") if wait_seconds is None else time.monotonic() + wait_seconds, FIRST_PAUSE
    while not (acquired := gpu_locks.acquire(ids, count, slots, token)):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            problem = f"{count} of the GPUs {', '.join(ids)} did not become free in {wait_seconds:g} s"
            fix = f"wait longer, or end the jobs that hold them (lslocks names them; locks in {gpu_locks.folder()})"
            raise PrunegridError(_pool(), problem, fix)
        if pause == FIRST_PAUSE:
            awaited = f"{count} of the GPUs {', '.join(ids)} (locks in {gpu_locks.folder()})"
            print(f"prunegrid: waiting for {awaited}", file=sys.stderr)
        time.sleep(min(remaining, pause * random.uniform(0.5, 1)))
        pause = min(LONGEST_PAUSE, pause * 1.5)
    return acquired


def _acquire_immediately(ids: list[str], count: int, slots: int, token: str) -> Locks:
    """A job that holds GPUs must not wait for more: it could wait for itself, or for a job that waits for it."""
    acquired = gpu_locks.acquire(ids, count, slots, token)
    if not acquired:
        problem = f"{count} of the GPUs {', '.join(ids)} are not free, and this job already holds some"
        raise PrunegridError(_pool(), problem, "reserve all the GPUs of a job at once, when it starts")
    return acquired


def _pool() -> str:
    return f"{VISIBLE}={os.environ[VISIBLE]}" if VISIBLE in os.environ else "this machine"
