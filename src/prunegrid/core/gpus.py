"""GPUs for several local jobs on one node: which ids are this job's, for as long as it or a child of it lives.

Snakemake counts GPUs but does not say which (`--resources gpu=4`); every job that uses some asks here:

    with devices.taken(2) as mine:
        subprocess.run(command, env={**os.environ, **mine.environment}, pass_fds=mine.fds)

An id is taken by a lock (`flock`, see `device_locks`) on a file of its own, which the kernel gives back when the last
process that holds it ends, however it ends. `pass_fds` makes the child such a process: if the launcher is killed and
the child lives on, its GPUs stay taken. The child has to pass the descriptors on in its turn; torchrun does not: it
holds them itself. With `slots`, so many jobs share a GPU, each of which asks for one GPU with the same number of slots.

A job never waits for itself. A process that was started with `mine.environment` and asks again is given its job's own
GPUs; a block inside another one of the same thread gets free GPUs, or an error where there are too few.

Not seen, so not excluded: jobs of other users, in other containers or with another temporary folder; programs that do
not ask here; one GPU that one job names by index and another by UUID, or by the index of another CUDA_DEVICE_ORDER.
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
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds between two tries
TOTALS = (
    "from torch import cuda; print(*(cuda.get_device_properties(i).total_memory for i in range(cuda.device_count())))"
)


class Reservation(NamedTuple):
    """Ids as `CUDA_VISIBLE_DEVICES` has them, the open lock files, for a child's `pass_fds`, and the locks' token."""

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
    """Hold `count` of this process's GPUs; while too few are free, wait (`None`: as long as it takes).

    One GPU may be shared with other jobs: one of its `slots` is held. Distinct GPUs are filled first. A job of several
    GPUs is alone on each. All are taken or none: a job that waits holds nothing, so two cannot wait for each other.
    Nobody queues either: one that wants many can be overtaken by those that want few. Call it before this process uses
    CUDA, which reads `CUDA_VISIBLE_DEVICES` only once. Raises `PrunegridError` if there are too few GPUs, or the time
    is up.
    """
    if not count:
        yield Reservation([], [], "")
        return
    ids, outer = visible_ids(), os.environ.get(HOLDER)
    if len(ids) < count:
        raise PrunegridError(
            f"{count} GPU(s) are needed, but {_where()} there are {len(ids)} ({', '.join(ids) or 'none'}): "
            f"ask for fewer (training.ranks), or run where there are more"
        )
    own = gpu_locks.ids_locked_by(outer, ids) if outer else []
    if outer and len(own) >= count:
        yield Reservation(own[:count], [], outer)
        return
    token, slots = uuid.uuid4().hex, slots if count == 1 else 1
    held = (
        _at_once(ids, count, slots, token) if own or _blocks.number else _wait(ids, count, slots, token, wait_seconds)
    )
    _blocks.number += 1
    try:
        yield Reservation(list(held), [fd for descriptors in held.values() for fd in descriptors], token)
    finally:
        _blocks.number -= 1
        gpu_locks.release(held)


def allocator_environment() -> dict[str, str]:
    """Environment of a process that uses a GPU: passes of ever other lengths do not fragment its memory.

    Whoever has set the variable, under either of its names, has decided that already.
    """
    decided = any(name in os.environ for name in ALLOCATOR)
    return {} if decided else {ALLOCATOR[0]: "expandable_segments:True"}


@contextmanager
def use_device(device: str, slots: int = 1) -> Iterator[None]:
    """Hold one GPU, or one of its `slots`, for this very process where `device` is cuda, and nothing elsewhere.

    Enter before CUDA is used.
    """
    with reserve(1 if device == "cuda" else 0, slots=slots) as mine:
        if mine.ids:
            os.environ |= mine.environment | allocator_environment()
        yield


def visible_ids() -> list[str]:
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


def memory_bytes(ids: list[str]) -> int | None:
    """The memory of the smallest of these GPUs; None where nothing here can tell.

    Torch knows all kinds of ids, but takes seconds and is asked in a process of its own, which alone starts CUDA;
    nvidia-smi, where it is, knows whole GPUs.
    """
    if shutil.which("nvidia-smi") and not any("MIG" in name for name in ids):
        query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits", f"--id={','.join(ids)}"]
        mebibytes = subprocess.run(query, capture_output=True, text=True).stdout.split()
        if mebibytes and all(word.isdigit() for word in mebibytes):
            return min(map(int, mebibytes)) * 2**20
    environment = {**os.environ, VISIBLE: ",".join(ids)}
    told = subprocess.run([sys.executable, "-c", TOTALS], capture_output=True, text=True, env=environment).stdout
    return min(map(int, told.split()), default=None)


def _wait(ids: list[str], count: int, slots: int, token: str, wait_seconds: float | None) -> Locks:
    started, pause = time.monotonic(), FIRST_WAIT
    while not (held := gpu_locks.acquire(ids, count, slots, token)):
        left = float("inf") if wait_seconds is None else started + wait_seconds - time.monotonic()
        if left <= 0:
            raise PrunegridError(
                f"{count} of the GPUs {', '.join(ids)} did not become free in {wait_seconds:g} s: wait longer, "
                f"or end the jobs that hold them (lslocks names them; the locks are in {gpu_locks.folder()})"
            )
        if pause == FIRST_WAIT:
            where = f"{count} of the GPUs {', '.join(ids)} (locks in {gpu_locks.folder()})"
            print(f"prunegrid: waiting for {where}", file=sys.stderr)
        time.sleep(min(left, pause * random.uniform(0.5, 1)))
        pause = min(LONGEST_WAIT, pause * 1.5)
    return held


def _at_once(ids: list[str], count: int, slots: int, token: str) -> Locks:
    """What is free now: a job that holds GPUs and waits for more may wait for itself, or for one that waits for it."""
    held = gpu_locks.acquire(ids, count, slots, token)
    if not held:
        raise PrunegridError(
            f"{count} of the GPUs {', '.join(ids)} are asked for by a job that holds some already, and are not free: "
            "take all that a job needs at once, at its start"
        )
    return held


def _where() -> str:
    return f"in {VISIBLE}={os.environ[VISIBLE]}" if VISIBLE in os.environ else "on this machine"
