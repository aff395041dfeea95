"""Locks on files, which the kernel gives back when the last process that holds one ends, however it ends."""

import fcntl
import os
import time
from pathlib import Path

from prunegrid.devices import ALLOCATIONS
from prunegrid.errors import PrunegridError

PATIENCE = 2.0  # seconds; a look at a lock (`held`) takes it for microseconds


def take(descriptor: int, kind: int) -> bool:
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
    job = next((os.environ[name] for name in ALLOCATIONS if os.environ.get(name)), None)
    return f"process {os.getpid()} on {os.uname().nodename}" + (f", job {job}" if job else "")


def hold(path: Path) -> int | None:
    """The descriptor of the lock file `path`, made, locked and signed by `owner`; None while another holds it."""
    until = time.monotonic() + PATIENCE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if take(descriptor, fcntl.LOCK_EX) and _still_there(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{owner()}\n".encode())
            return descriptor
        os.close(descriptor)
        if time.monotonic() > until:
            return None
        time.sleep(0.02)


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether the file was not removed, by who held it before, between our opening and our locking it."""
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def held(path: Path) -> bool:
    """Whether some process holds the lock file `path`. Where there can be no locks, none does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not take(descriptor, fcntl.LOCK_SH)
    except PrunegridError:
        return False
    finally:
        os.close(descriptor)


def signed(path: Path) -> str:
    """Who signed the lock file last, in the words of `owner`."""
    return (path.read_text().strip() if path.exists() else "") or "an unknown process"
