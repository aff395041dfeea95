"""Checkpoints of a training job: each whole under its name or not there at all, the last two kept.

They stand in an undeclared folder beside the job's outputs, so that Snakemake does not remove them, and are
gone once the job has ended well.
"""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunegrid.core.disk_errors import writing
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, write_json
from prunegrid.core.locks import acquire, holder, try_lock

KEPT = 2
COMPLETE = "complete.json"
PREFIX = "checkpoint-"
LOCK = ".lock"


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def _all(folder: Path) -> list[Path]:
    """The newest first."""
    return sorted(folder.glob(f"{PREFIX}[0-9]*"), key=step_of, reverse=True)


def newest(folder: Path, identity: dict[str, Any]) -> Path | None:
    """The newest complete checkpoint of a job of this `identity`; of each that is refused, a line says why."""
    for checkpoint in _all(folder):
        reason = _refusal(checkpoint, identity)
        if reason is None:
            return checkpoint
        print(f"{checkpoint}: not resumed from, {reason}", file=sys.stderr, flush=True)
    return None


def intact(folder: Path, identity: dict[str, Any]) -> str:
    """What is not lost when a job of this `identity` ends here."""
    saved = next((checkpoint for checkpoint in _all(folder) if _refusal(checkpoint, identity) is None), None)
    return f"the checkpoint of step {step_of(saved)} is intact" if saved else "no checkpoint was made before"


def _refusal(checkpoint: Path, identity: dict[str, Any]) -> str | None:
    try:
        found = read_json(checkpoint / COMPLETE)
        files: dict[str, int] = found["files"]
        made: dict[str, Any] = _flat(found["identity"])
    except (PrunegridError, KeyError, TypeError, AttributeError):
        return f"it has no whole {COMPLETE}"
    for name, size in files.items():
        there = (checkpoint / name).stat().st_size if (checkpoint / name).is_file() else None
        if there != size:
            return f"{name} is truncated: {there or 0} of {size} bytes" if there is not None else f"{name} is missing"
    wanted = _flat(identity)
    for key in sorted({*made, *wanted}):
        if made.get(key) != wanted.get(key):
            return f"it was made with {key} {made.get(key)} instead of {wanted.get(key)}"
    return None


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, part in value.items() for k, v in _flat(part, f"{name}.{key}" if name else key).items()}


def saving_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it has its name."""
    return folder / f".saving-{step}"


def commit(folder: Path, step: int, identity: dict[str, Any]) -> None:
    """Give what was written its name, sizes of all files noted and all of it on the disk; remove older ones."""
    temporary = saving_folder(folder, step)
    files = [file for file in sorted(temporary.rglob("*")) if file.is_file()]
    sizes = {str(file.relative_to(temporary)): file.stat().st_size for file in files}
    write_json(temporary / COMPLETE, {"identity": identity, "files": sizes})
    sync_all(temporary)
    final = folder / f"{PREFIX}{step}"
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    _sync(folder)
    _remove_old(folder, identity)


def _remove_old(folder: Path, identity: dict[str, Any]) -> None:
    usable = [checkpoint for checkpoint in _all(folder) if _refusal(checkpoint, identity) is None][:KEPT]
    for checkpoint in {*_all(folder)} - {*usable}:
        shutil.rmtree(checkpoint, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """What a job left that was killed while it saved: the next one must not add its own files to it."""
    for unfinished in (*folder.glob(".saving-*"), *folder.glob(".launch-*")):
        shutil.rmtree(unfinished)


def sync_all(folder: Path) -> None:
    """Have all of the folder on the disk."""
    for path in [folder, *folder.rglob("*")]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold the folder's lock, and yield its descriptor; refuse where another job, or a rank of it, keeps it.

    The lock is shared with the job's own ranks, each of which takes it for itself (`share`): torchrun hands no
    descriptor on, and a rank may outlive whatever started it.
    """
    with writing(folder / LOCK):
        descriptor = acquire(folder / LOCK)
    if descriptor is None:
        raise PrunegridError(_held(folder))
    try:
        if not try_lock(descriptor, fcntl.LOCK_SH):
            raise PrunegridError(_held(folder))
        yield descriptor
    finally:
        os.close(descriptor)


def share(folder: Path) -> int:
    """Hold the lock as one of the job's ranks, until this process ends."""
    descriptor = os.open(folder / LOCK, os.O_RDWR)
    if not try_lock(descriptor, fcntl.LOCK_SH):
        raise PrunegridError(_held(folder))
    return descriptor


def wait_for_ranks(lock: int, seconds: float) -> bool:
    """Whether all ranks have ended, for which this waits so long."""
    until = time.monotonic() + seconds
    while not (ended := try_lock(lock, fcntl.LOCK_EX)) and time.monotonic() < until:
        try_lock(lock, fcntl.LOCK_SH)
        time.sleep(0.2)
    return ended


def _held(folder: Path) -> str:
    return f"{folder}: a job (started by {holder(folder / LOCK)}) is training this cell; wait for it, or stop it"
