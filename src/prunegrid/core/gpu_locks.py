"""The lock files behind `devices`: one for each GPU, and one for each slot of a GPU that jobs share.

A job alone on a GPU locks its file exclusively. A job that shares it locks that file as shared, so that nobody can be
alone there, and one of its slots exclusively. Jobs share a GPU only with jobs of the same number of slots. The holder's
token is written into the file that it locks exclusively: that is how a process knows the locks of its own job.
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
    """One try for `count` of the GPUs: ids with the descriptors of their locks, or nothing where too few are free.

    One process at a time (`gate`), so that two do not each take half of what is free and both give up.
    """
    place = folder()
    gate = _open(place / "gate")
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        held = _shared(place, ids, slots) if slots > 1 else _alone(place, ids, count)
        for descriptors in held.values():
            os.ftruncate(descriptors[-1], 0)
            os.pwrite(descriptors[-1], token.encode(), 0)
        return held
    finally:
        os.close(gate)


def ids_locked_by(token: str, ids: list[str]) -> list[str]:
    """Those of the GPUs whose locks a living process holds under this token."""
    place = folder()
    return [name for name in ids if any(_is_held_by(token, path) for path in _files(place, name))]


def release(held: Locks) -> None:
    """Close, never LOCK_UN, which would also take the lock from a child that was passed the descriptor."""
    for descriptor in (one for descriptors in held.values() for one in descriptors):
        os.close(descriptor)


def folder() -> Path:
    """This user's folder of locks for this host (a temporary folder may be shared), which nobody else can enter."""
    place = Path(tempfile.gettempdir(), f"prunegrid-gpus-{os.geteuid()}-{socket.gethostname()}")
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PrunegridError(
            f"{place}: must be a folder of yours that nobody else can enter (mode 0700); remove it or set TMPDIR"
        )
    return place


def _alone(place: Path, ids: list[str], count: int) -> Locks:
    """The first `count` GPUs that nobody uses."""
    held: Locks = {}
    for name in ids:
        if len(held) < count and (descriptor := _lock(_card(place, name), fcntl.LOCK_EX)) is not None:
            held[name] = [descriptor]
    if len(held) == count:
        return held
    release(held)
    return {}


def _shared(place: Path, ids: list[str], slots: int) -> Locks:
    """A slot of the GPU that the fewest share; the first of several."""
    used = {name: _used_slots(place, name, slots) for name in ids}
    for name in sorted(ids, key=lambda name: len(used[name])):
        free = next((slot for slot in range(slots) if slot not in used[name]), None)
        if free is None or (card := _lock(_card(place, name), fcntl.LOCK_SH)) is None:
            continue
        if (slot := _lock(_slot(place, name, free, slots), fcntl.LOCK_EX)) is not None:
            return {name: [card, slot]}
        os.close(card)
    return {}


def _used_slots(place: Path, name: str, slots: int) -> set[int]:
    """The numbers of the slots that are taken; all where the GPU is shared by another number of jobs."""
    own = {_slot(place, name, slot, slots): slot for slot in range(slots)}
    taken = [path for path in _files(place, name)[1:] if locks.is_held(path)]
    return {own[path] for path in taken} if set(taken) <= set(own) else set(range(slots))


def _is_held_by(token: str, path: Path) -> bool:
    return path.exists() and path.read_text() == token and locks.is_held(path)


def _files(place: Path, name: str) -> list[Path]:
    """The GPU's own file, there or not, and those of its slots that were ever taken."""
    card = _card(place, name)
    return [card, *sorted(place.glob(f"{card.stem}@*.lock"))]


def _card(place: Path, name: str) -> Path:
    return place / f"{_allocation()}{quote(name, safe='')}.lock"


def _slot(place: Path, name: str, number: int, slots: int) -> Path:
    card = _card(place, name)
    return card.with_name(f"{card.stem}@{number}-of-{slots}.lock")


def _allocation() -> str:
    """The scheduler's job, if any: index 0 of two jobs is two GPUs where the scheduler shows each job only its own."""
    job = scheduler.job()
    return f"{job[0]}-{quote(job[1], safe='')}-" if job else ""


def _lock(path: Path, kind: int) -> int | None:
    descriptor = _open(path)
    if locks.try_lock(descriptor, kind):
        return descriptor
    os.close(descriptor)
    return None


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
