"""The frame around every script of the workflow: its log, what a failure looks like, and a quick start and end."""

import atexit
import gc
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prunegrid.core import locks
from prunegrid.core.disk_errors import disk_error, writing
from prunegrid.core.errors import PrunegridError

DONE, FAILED = "done", "FAILED:"


@contextmanager
def step(log: str) -> Iterator[None]:
    """Send all output of the block (its children's too) to `log`, whose last line says how the block ended.

    A failure is one line on the terminal and exit code 1; the traceback of an unforeseen one is in the log. While this
    process lives, or a child that has its standard input, the step's lock is held: a second process that runs
    the same step is refused. The lock is a file beside the log, since Snakemake removes the log before it starts a job.
    """
    delay_garbage_collection()
    terminal = os.dup(2)
    lock = lock_path(Path(log))
    started = time.monotonic()
    with _alone(lock, Path(log)) as file:
        sys.stdout.flush()
        os.dup2(file, 1)
        os.dup2(file, 2)
        try:
            yield
            _last_line(f"{DONE} in {time.monotonic() - started:.1f} s", Path(log))
        except BaseException as error:
            message = _message(error, log)
            _tell(terminal, f"{message} (log: {log})")
            with suppress(OSError):  # the log stands on the disk that is full
                _trace(error)
                _last_line(f"{FAILED} {message}", Path(log))
            sys.exit(1)
        lock.unlink(missing_ok=True)


def lock_path(log: Path) -> Path:
    """The lock file of the step that writes this log. It is there while the step runs, and after one that failed."""
    return log.with_name(f".{log.name}.lock")


@contextmanager
def _alone(lock: Path, log: Path) -> Iterator[int]:
    """Hold the lock as standard input, which children inherit; yield the log's descriptor, its first line written."""
    try:
        with writing(log):
            descriptor = locks.acquire(lock)
            if descriptor is None:
                raise PrunegridError(
                    f"{log}: this step runs already (started by {locks.holder(lock)}); wait for it, or stop it"
                )
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.write(file, f"started by {locks.owner()}\n".encode())
    except PrunegridError as error:
        _tell(2, str(error))
        sys.exit(1)
    os.dup2(descriptor, 0)
    yield file
    os.close(file)


def _tell(terminal: int, message: str) -> None:
    os.write(terminal, f"prunegrid: {message}\n".encode())


def delay_garbage_collection() -> None:
    """Look for reference cycles every 10,000 objects, not every 700, and not at all when the process ends.

    Importing torch and transformers makes a million objects and no garbage: two of an evaluation's ten seconds went
    into looking for it (docs/training.md).
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


def _message(error: BaseException, log: str) -> str:
    if isinstance(error, PrunegridError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command goes on from here"
    return str(disk_error(error, Path(log)) or f"{type(error).__name__}: {error}")


def _trace(error: BaseException) -> None:
    """The traceback of an unforeseen error, or of what a clear one was caused by."""
    if not isinstance(error, PrunegridError | KeyboardInterrupt):
        traceback.print_exception(error)
    elif error.__cause__:
        traceback.print_exception(error.__cause__)


def _last_line(text: str, log: Path) -> None:
    """The log's last line. A second run that was refused has had Snakemake put an empty log in the place of ours."""
    sys.stderr.flush()
    print(text, flush=True)
    if not (log.exists() and os.path.samestat(os.fstat(1), log.stat())):
        log.write_text(f"{text}\n")
