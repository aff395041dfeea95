"""Locks on files, which the kernel gives back when the last process that holds one ends, however it ends."""

import fcntl
import os
import time
from pathlib import Path

from prunegrid.core import scheduler
from prunegrid.core.errors import PrunegridError

WAIT_SECONDS = 2.0  # seconds; a look at a lock (`is_held`) takes it for microseconds
REQUEUE_WAIT_SECONDS = 120.0  # seconds; a dead node's locks on NFS are given back after its lease of about 90


def try_lock(descriptor: int, kind: int) -> bool:
    """Whether the open file's lock of `kind`, `fcntl.LOCK_EX` or `LOCK_SH`, is ours now; never waits."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise PrunegridError(
            f"this file system knows no locks ({error.strerror}), so two jobs could train one cell; "
            "keep the results on one that does (Lustre: mounted with flock)"
        ) from None
    return True


def owner() -> str:
    """This process as `process 71 on node3, job 1204`, with the job where a scheduler has given one."""
    job = scheduler.job()
    return f"process {os.getpid()} on {os.uname().nodename}" + (f", job {job[1]}" if job else "")


def wait_seconds() -> float:
    """Seconds to wait for a lock. A scheduler starts a requeued job while its old processes still end."""
    return REQUEUE_WAIT_SECONDS if scheduler.job() else WAIT_SECONDS


def acquire(path: Path) -> int | None:
    """The descriptor of the lock file `path`, made, locked and signed by `owner`; None while another holds it.

    Waits for as long as `wait_seconds` says. Its folder is made too: who held it before may have removed that.
    """
    until, pause = time.monotonic() + wait_seconds(), 0.02
    while (descriptor := _try(path)) is None and time.monotonic() < until:
        time.sleep(pause)
        pause = min(1.0, 1.2 * pause)
    return descriptor


def _try(path: Path) -> int | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        if path.parent.is_dir():
            raise
        return None
    if try_lock(descriptor, fcntl.LOCK_EX) and _still_there(descriptor, path):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{owner()}\n".encode())
        return descriptor
    os.close(descriptor)
    return None


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether the file was not removed, by who held it before, between our opening and our locking it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file `path`. Where there can be no locks, none does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, fcntl.LOCK_SH)
    except PrunegridError:
        return False
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """Who signed the lock file last, in the words of `owner`."""
    return (path.read_text().strip() if path.exists() else "") or "an unknown process"
