"""Locks on files, which the kernel releases when the last process that holds one ends, however it ends.

Not `filelock`: a step hands its lock to its children (as standard input or by `pass_fds`), so that it stays held while
one of them lives. `filelock` keeps its descriptor private, unlocks explicitly, which takes the lock from children too,
has no shared locks to look with, and switches to a file without a kernel lock where flock is missing.
"""

import fcntl
import os
import time
from pathlib import Path

from prunegrid.core import scheduler
from prunegrid.core.errors import PrunegridError

WAIT_SECONDS = 2.0  # `is_held` takes a lock for microseconds
REQUEUE_WAIT_SECONDS = 120.0  # on NFS, the locks of a dead node are released after its lease of about 90 s


def try_lock(descriptor: int, kind: int) -> bool:
    """Whether the open file is locked by us now, as `fcntl.LOCK_EX` or `LOCK_SH`; never waits."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        problem = f"this file system does not support flock ({error.strerror}); two jobs could train the same cell"
        fix = "keep the results on one that does (Lustre: mounted with flock)"
        raise PrunegridError(Path(f"/proc/self/fd/{descriptor}").readlink(), problem, fix) from None
    return True


def owner() -> str:
    """This process as `process 71 on node3, job 1204`, with the job only under a scheduler."""
    job = scheduler.job()
    return f"process {os.getpid()} on {os.uname().nodename}" + (f", job {job[1]}" if job else "")


def wait_seconds() -> float:
    """How long to wait for a lock. A scheduler may start a requeued job while its old processes are still ending."""
    return REQUEUE_WAIT_SECONDS if scheduler.job() else WAIT_SECONDS


def acquire(path: Path) -> int | None:
    """The descriptor of the lock file `path`: created, locked and signed by `owner`. None while another holds it.

    Waits up to `wait_seconds`. Creates the folder each time, since the previous holder may have removed it.
    """
    deadline, pause = time.monotonic() + wait_seconds(), 0.02
    while (descriptor := _try(path)) is None and time.monotonic() < deadline:
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
    if try_lock(descriptor, fcntl.LOCK_EX) and _is_file_of(descriptor, path):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{owner()}\n".encode())
        return descriptor
    os.close(descriptor)
    return None


def _is_file_of(descriptor: int, path: Path) -> bool:
    """Whether `path` is still the file we opened: its holder may have removed it before we locked it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file `path`; false on a file system without locks."""
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
    """The last process that signed the lock file, as `owner` describes it."""
    return (path.read_text().strip() if path.exists() else "") or "an unknown process"
