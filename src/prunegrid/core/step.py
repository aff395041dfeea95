"""The frame around every script of the workflow: its lock and log, how a failure looks, and a quick start and end."""

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
from prunegrid.core.extras import missing_extra

DONE, FAILED = "done", "FAILED:"


@contextmanager
def step(log: str) -> Iterator[None]:
    """Send all output of the block (its children's too) to `log`, whose last line says how the block ended.

    A failure is one line on the terminal and exit code 1; an unforeseen one leaves its traceback in the log. The step's
    lock is held as long as this process lives, or a child that has its standard input: a second process that runs the
    same step is refused. The lock is a file beside the log, since Snakemake removes the log before it starts a job.
    """
    delay_garbage_collection()
    terminal = os.dup(2)
    lock = lock_path(Path(log))
    start = time.monotonic()
    with _lock_and_log(lock, Path(log)) as file:
        sys.stdout.flush()
        os.dup2(file, 1)
        os.dup2(file, 2)
        try:
            yield
            _last_line(f"{DONE} in {time.monotonic() - start:.1f} s", Path(log))
        except BaseException as error:
            message = _message(error, log)
            _print(terminal, f"{message} (log: {log})")
            with suppress(OSError):  # the log may be on the full disk
                _print_traceback(error)
                _last_line(f"{FAILED} {message}", Path(log))
            sys.exit(1)
        lock.unlink(missing_ok=True)


def lock_path(log: Path) -> Path:
    """The lock file of the step that writes this log. It exists while the step runs, and after one that failed."""
    return log.with_name(f".{log.name}.lock")


@contextmanager
def _lock_and_log(lock: Path, log: Path) -> Iterator[int]:
    """Hold the lock as standard input, which children inherit; yield the log's descriptor, its first line written."""
    try:
        with writing(log):
            descriptor = locks.acquire(lock)
            if descriptor is None:
                problem = f"this step is already running (started by {locks.holder(lock)})"
                raise PrunegridError(log, problem, "wait for it, or stop it")
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.write(file, f"started by {locks.owner()}\n".encode())
    except PrunegridError as error:
        _print(2, str(error))
        sys.exit(1)
    os.dup2(descriptor, 0)
    yield file
    os.close(file)


def _print(terminal: int, message: str) -> None:
    os.write(terminal, f"prunegrid: {message}\n".encode())


def delay_garbage_collection() -> None:
    """Collect reference cycles every 10,000 objects, not every 700, and not at all when the process ends.

    Importing torch and transformers makes a million objects and no garbage; collection took two of an evaluation's
    ten seconds (docs/results/speed.md).
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


def _message(error: BaseException, log: str) -> str:
    if isinstance(error, PrunegridError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command resumes"
    return str(disk_error(error, Path(log)) or missing_extra(error) or f"{type(error).__name__}: {error}")


def _print_traceback(error: BaseException) -> None:
    """The traceback of an unforeseen error, or of the cause of a clear one."""
    if not isinstance(error, PrunegridError | KeyboardInterrupt):
        traceback.print_exception(error)
    elif error.__cause__:
        traceback.print_exception(error.__cause__)


def _last_line(text: str, log: Path) -> None:
    """Write the log's last line. If a second run was refused, Snakemake has replaced our log with an empty one."""
    sys.stderr.flush()
    print(text, flush=True)
    if not (log.exists() and os.path.samestat(os.fstat(1), log.stat())):
        log.write_text(f"{text}\n")
