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
from typing import TextIO

from prunegrid.disk import refusal, writing
from prunegrid.errors import PrunegridError

DONE, FAILED = "done", "FAILED:"


@contextmanager
def step(log: str) -> Iterator[None]:
    """Send all output of the block (its children's too) to `log`, whose last line says how the block ended.

    A failure is one line on the terminal and exit code 1; the traceback of an unforeseen one is in the log.
    """
    collect_rarely()
    terminal = os.dup(2)
    started = time.monotonic()
    with _opened(Path(log)) as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
            _last_line(f"{DONE} in {time.monotonic() - started:.1f} s")
        except BaseException as error:
            message = _message(error, log)
            os.write(terminal, f"prunegrid: {message} (log: {log})\n".encode())
            with suppress(OSError):  # the log stands on the disk that is full
                _trace(error)
                _last_line(f"{FAILED} {message}")
            sys.exit(1)


def _opened(log: Path) -> TextIO:
    try:
        with writing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            return log.open("w", buffering=1)
    except PrunegridError as error:
        sys.exit(f"prunegrid: {error}")


def collect_rarely() -> None:
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
    return refusal(error, Path(log)) or f"{type(error).__name__}: {error}"


def _trace(error: BaseException) -> None:
    """The traceback of an unforeseen error, or of what a clear one was caused by."""
    if not isinstance(error, PrunegridError | KeyboardInterrupt):
        traceback.print_exception(error)
    elif error.__cause__:
        traceback.print_exception(error.__cause__)


def _last_line(text: str) -> None:
    sys.stderr.flush()
    print(text, flush=True)
