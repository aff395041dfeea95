"""The lock files behind `gpus`: one for each GPU, and one for each slot of a GPU that jobs share.

A job alone on a GPU locks its file exclusively. A job that shares it takes a shared lock on that file, which keeps out
jobs that want the GPU alone, and an exclusive one on a slot. Jobs share a GPU only with jobs of the same number of
slots. The holder's token is written into the file that it locks exclusively, so a process can recognise its own job's
locks.
"""

import fcntl
import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from prunegrid.core import locks, scheduler
from prunegrid.core.errors import PrunegridError

Locks = dict[str, list[int]]


def acquire(ids: list[str], count: int, slots: int, token: str) -> Locks:
    """One attempt to lock `count` of the GPUs: ids with the descriptors of their locks; empty if too few are free.

    One process at a time (`gate`): two could otherwise each take half of the free GPUs and both give up.
    """
    root = folder()
    gate = _open(root / "gate")
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        acquired = _share_one(root, ids, slots) if slots > 1 else _lock_whole(root, ids, count)
        for descriptors in acquired.values():
            os.ftruncate(descriptors[-1], 0)
            os.pwrite(descriptors[-1], token.encode(), 0)
        return acquired
    finally:
        os.close(gate)


def ids_locked_by(token: str, ids: list[str]) -> list[str]:
    """The GPUs among `ids` whose locks a living process holds under this token."""
    root = folder()
    return [name for name in ids if any(_is_held_by(token, path) for path in _files(root, name))]


def release(acquired: Locks) -> None:
    """Close, never LOCK_UN, which would also take the lock from a child that was passed the descriptor."""
    for descriptor in (fd for descriptors in acquired.values() for fd in descriptors):
        os.close(descriptor)


def folder() -> Path:
    """This user's folder of locks on this host, which nobody else can enter: the temporary folder may be shared."""
    root = Path(tempfile.gettempdir(), f"prunegrid-gpus-{os.geteuid()}-{socket.gethostname()}")
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
    status = root.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        problem = "must be a folder of yours that nobody else can enter (mode 0700)"
        raise PrunegridError(root, problem, "remove it or set TMPDIR")
    return root


def _lock_whole(root: Path, ids: list[str], count: int) -> Locks:
    """The first `count` unused GPUs."""
    acquired: Locks = {}
    for name in ids:
        if len(acquired) < count and (descriptor := _lock(_gpu_file(root, name), fcntl.LOCK_EX)) is not None:
            acquired[name] = [descriptor]
    if len(acquired) == count:
        return acquired
    release(acquired)
    return {}


def _share_one(root: Path, ids: list[str], slots: int) -> Locks:
    """A slot of the GPU with the fewest jobs; the first one if there is a tie."""
    used = {name: _used_slots(root, name, slots) for name in ids}
    for name in sorted(ids, key=lambda name: len(used[name])):
        free = next((slot for slot in range(slots) if slot not in used[name]), None)
        if free is None or (gpu := _lock(_gpu_file(root, name), fcntl.LOCK_SH)) is None:
            continue
        if (slot := _lock(_slot_file(root, name, free, slots), fcntl.LOCK_EX)) is not None:
            return {name: [gpu, slot]}
        os.close(gpu)
    return {}


def _used_slots(root: Path, name: str, slots: int) -> set[int]:
    """The numbers of the slots in use; all of them if jobs with another number of slots share the GPU."""
    numbers = {_slot_file(root, name, slot, slots): slot for slot in range(slots)}
    used = {path for path in _files(root, name)[1:] if locks.is_held(path)}
    return {numbers[path] for path in used} if used <= set(numbers) else set(range(slots))


def _is_held_by(token: str, path: Path) -> bool:
    return path.exists() and path.read_text() == token and locks.is_held(path)


def _files(root: Path, name: str) -> list[Path]:
    """The GPU's file, whether or not it exists, and those of its slots that were ever used."""
    gpu = _gpu_file(root, name)
    return [gpu, *sorted(root.glob(f"{gpu.stem}@*.lock"))]


def _gpu_file(root: Path, name: str) -> Path:
    """In a scheduler's job its name is part of it: index 0 of two jobs is two GPUs if each job sees only its own."""
    job = scheduler.job()
    prefix = f"{job[0]}-{quote(job[1], safe='')}-" if job else ""
    return root / f"{prefix}{quote(name, safe='')}.lock"


def _slot_file(root: Path, name: str, number: int, slots: int) -> Path:
    gpu = _gpu_file(root, name)
    return gpu.with_name(f"{gpu.stem}@{number}-of-{slots}.lock")


def _lock(path: Path, kind: int) -> int | None:
    descriptor = _open(path)
    if locks.try_lock(descriptor, kind):
        return descriptor
    os.close(descriptor)
    return None


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
