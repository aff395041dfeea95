"""Why a rank of a training job ends early, told to the launcher in one clear message."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from prunegrid.errors import PrunegridError, reason

CAUSES = {
    "memory": "out of memory",
    "disk": "the disk is full",
    "lost": "another rank has ended without a word: killed, or its reason is further up in this log",
}


def tell(path: Path, error: BaseException, trainer: Any) -> None:
    """Leave the message for the launcher; of several ranks the first one's counts. None if nobody foresaw the error."""
    found, message = cause(error), str(error)
    if not found:
        return
    if found != "told":
        step = trainer.state.global_step + 1 if trainer else 0
        samples = f" (sample_id {', '.join(map(str, trainer.current[:8]))})" if trainer and trainer.current else ""
        message = f"step {step}{samples}: {CAUSES[found]} ({reason(error)})"
    with suppress(FileExistsError), path.open("x") as file:
        json.dump({"message": message, "cause": found}, file)


def cause(error: BaseException) -> str | None:
    """One of CAUSES, or `told`: the error's own message is clear."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return "memory"
    if isinstance(error, PrunegridError):
        return "told"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "disk"
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return "lost" if several and isinstance(error, RuntimeError) and "onnection" in str(error) else None
