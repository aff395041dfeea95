"""Why a rank of a training job ends early, told to the launcher in one clear message."""

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from prunegrid.core.disk_errors import FULL_DISK, free_space
from prunegrid.core.errors import PrunegridError, first_line

CAUSES = {
    "memory": "out of memory",
    "disk": "the disk is full",
    "deterministic": "an operation has no deterministic kernel here; set training.deterministic to false",
    "lost": "another rank has ended without a word: killed, or its reason is further up in this log",
    "unforeseen": "an unforeseen error, whose traceback is in this log",
}
NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # torch's allocator, CUDA and NCCL, cuBLAS
NO_KERNEL = "use_deterministic_algorithms"
NO_PEER = ("onnection", "remote process exited", "network error")  # gloo, NCCL


def tell(path: Path, error: BaseException, trainer: Any) -> None:
    """Leave the message for the launcher; of several ranks the first one's counts."""
    found, message = cause(error), str(error)
    if found != "told":
        step = trainer.state.global_step + 1 if trainer else 0
        samples = f" (sample_id {', '.join(map(str, trainer.current[:8]))})" if trainer and trainer.current else ""
        message = f"step {step}{samples}: {CAUSES[found]} ({type(error).__name__}: {first_line(error)})"
    with suppress(FileExistsError), path.open("x") as file:
        json.dump({"message": message, "cause": found}, file)


def cause(error: BaseException) -> str:
    """One of CAUSES, or `told`: the error's own message is clear."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in NO_MEMORY):
        return "memory"
    if isinstance(error, PrunegridError):
        return "told"
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return "disk"
    if NO_KERNEL in str(error):
        return "deterministic"
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    left = several and isinstance(error, RuntimeError) and any(word in str(error) for word in NO_PEER)
    return "lost" if left else "unforeseen"


def leave_with_the_others(error: Path, seconds: float = 10) -> None:
    """End this process soon after any rank has told its error: on GPUs the others would wait in NCCL for it."""

    def watch() -> None:
        while not error.exists():
            time.sleep(1)
        time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def failed_to(what: str, folder: Path, error: BaseException) -> str:
    """The message of a write that failed. Libraries put a full disk in odd words, so it names the room that is left."""
    return f"{folder}: could not {what} ({first_line(error)}; {free_space(folder)})"
