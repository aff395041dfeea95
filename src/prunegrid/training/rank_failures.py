"""How a failing rank of a training job leaves its error for the launcher and ends without waiting for the others."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from prunegrid.core.disk_errors import FULL_DISK, free_space
from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.extras import missing_extra
from prunegrid.training.failures import Cause, Failure

MEANING: dict[Cause, tuple[str, str]] = {  # what is wrong, fix
    "memory": ("out of memory", ""),
    "disk": ("the disk is full", "free disk space; the same command resumes from the last checkpoint"),
    "deterministic": ("an operation has no deterministic kernel here", "set training.deterministic to false"),
    "lost": ("another rank ended without an error", "see its error above in this log; without one, it was killed"),
    "unforeseen": ("unexpected error", "see its traceback in this log"),
}
NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # torch's allocator, CUDA and NCCL, cuBLAS
NO_KERNEL = "use_deterministic_algorithms"
NO_PEER = ("onnection", "remote process exited", "network error")  # gloo, NCCL


def write_failure(path: Path, error: BaseException, trainer: Any) -> None:
    """Leave the error for the launcher; if several ranks fail, the first one's stays."""
    error = missing_extra(error) or error
    kind = cause(error)
    if isinstance(error, PrunegridError) and kind == "stated":
        failure = Failure(cause=kind, where=error.where, what=error.what, fix=error.fix)
    else:
        problem, fix = MEANING[kind]
        details = f"{problem} ({type(error).__name__}: {first_line(error)})"
        failure = Failure(cause=kind, where=_position(trainer), what=details, fix=fix)
    with suppress(FileExistsError), path.open("x") as file:
        file.write(failure.model_dump_json())


def _position(trainer: Any) -> str:
    """The step, and the samples of the pass that was being computed."""
    if trainer is None:
        return "step 0"
    samples = f" (sample_id {', '.join(map(str, trainer.current[:8]))})" if trainer.current else ""
    return f"step {trainer.state.global_step + 1}{samples}"


def cause(error: BaseException) -> Cause:
    """`stated`: the error's own message is clear."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return "memory"
    if isinstance(error, PrunegridError):
        return "stated"
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return "disk"
    if NO_KERNEL in str(error):
        return "deterministic"
    has_peers = int(os.environ.get("WORLD_SIZE", "1")) > 1
    lost = has_peers and isinstance(error, RuntimeError) and any(words in str(error) for words in NO_PEER)
    return "lost" if lost else "unforeseen"


def exit_after_failure(error: Path, seconds: float = 10) -> None:
    """End this process soon after any rank has left its error: on GPUs the others would wait for it in NCCL."""

    def watch() -> None:
        while not error.exists():
            time.sleep(1)
        time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def failed_write(action: str, folder: Path, error: BaseException, saved: str) -> PrunegridError:
    """The error of a write that failed, with the free space, since libraries describe a full disk in their own words.

    `saved` is what is not lost.
    """
    problem = f"could not {action} ({first_line(error)}; {free_space(folder)}); {saved}"
    return PrunegridError(folder, problem, "free disk space; the same command resumes from there")
