"""Checkpoints of a training job: each is whole under its name or absent, and the last two stay.

Their folder is beside the job's outputs, but not declared to Snakemake, which would remove it after a failure. It is
deleted once the job has succeeded. Its lock keeps two jobs from training one cell.
"""

import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunegrid.core.disk_errors import writing
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import damaged_file, read_json, write_json
from prunegrid.core.locks import acquire, holder, is_held, try_lock

RETAINED = 2  # usable checkpoints that stay when a new one has its name
COMPLETE = "complete.json"
PREFIX = "checkpoint-"
UNFINISHED = ".saving-"
SCRATCH = ".launch-"
RANK = "rank-"
LOCK = ".lock"


def checkpoint_step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def _checkpoints(folder: Path) -> list[Path]:
    """The newest first."""
    return sorted(folder.glob(f"{PREFIX}[0-9]*"), key=checkpoint_step, reverse=True)


def newest(folder: Path, identity: dict[str, Any]) -> Path | None:
    """The newest complete checkpoint of a job of this `identity`. A line for each that is refused gives the reason."""
    for checkpoint in _checkpoints(folder):
        reason = _refusal(checkpoint, identity)
        if reason is None:
            return checkpoint
        print(f"{checkpoint}: not resumed from: {reason}", file=sys.stderr, flush=True)
    return None


def saved_progress(folder: Path, identity: dict[str, Any]) -> str:
    """The progress that a job of this `identity` keeps if it ends now, in words."""
    usable = _usable(folder, identity)
    return f"the checkpoint of step {checkpoint_step(usable[0])} is intact" if usable else "there is no checkpoint yet"


def _usable(folder: Path, identity: dict[str, Any]) -> list[Path]:
    """The newest first."""
    return [checkpoint for checkpoint in _checkpoints(folder) if _refusal(checkpoint, identity) is None]


def _refusal(checkpoint: Path, identity: dict[str, Any]) -> str | None:
    """Why a job of this `identity` cannot resume from it, if so."""
    try:
        manifest = read_json(checkpoint / COMPLETE)
        files: dict[str, int] = manifest["files"]
        saved: dict[str, Any] = _flat(manifest["identity"])
    except (PrunegridError, KeyError, TypeError, AttributeError):
        return f"its {COMPLETE} is missing or damaged"
    if damage := damaged_file(checkpoint, files):
        return f"{damage.name} {damage.problem}"
    current = _flat(identity)
    for key in sorted({*saved, *current}):
        if saved.get(key) != current.get(key):
            return f"it was made with {key} {saved.get(key)} instead of {current.get(key)}"
    return None


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, part in value.items() for k, v in _flat(part, f"{name}.{key}" if name else key).items()}


def saving_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it gets its name."""
    return folder / f"{UNFINISHED}{step}"


def commit(folder: Path, step: int, identity: dict[str, Any]) -> None:
    """Note the sizes of all files, flush them to the disk, and only then give the folder its name; delete old ones."""
    temporary = saving_folder(folder, step)
    files = [file for file in sorted(temporary.rglob("*")) if file.is_file()]
    sizes = {str(file.relative_to(temporary)): file.stat().st_size for file in files}
    write_json(temporary / COMPLETE, {"identity": identity, "files": sizes})
    sync_all(temporary)
    final = folder / f"{PREFIX}{step}"
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    _sync(folder)
    for checkpoint in {*_checkpoints(folder)} - {*_usable(folder, identity)[:RETAINED]}:
        shutil.rmtree(checkpoint, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a job that was killed left: the next one must not add its own files to it."""
    for unfinished in (*folder.glob(f"{UNFINISHED}*"), *folder.glob(f"{SCRATCH}*")):
        shutil.rmtree(unfinished)


@contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """A temporary folder through which launcher and ranks communicate; in `folder` if given, where all nodes see it."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH) as path:
        yield Path(path)


def sync_all(folder: Path) -> None:
    """Flush the folder and all in it to the disk."""
    for path in [folder, *folder.rglob("*")]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def cell_lock(folder: Path) -> Iterator[int]:
    """Hold the folder's lock and yield its descriptor; refuse if another job or one of its ranks holds it.

    The job's own ranks share it, each by a descriptor of its own (`share_lock`): torchrun passes none on, and a rank
    may outlive whatever started it.
    """
    with writing(folder / LOCK):
        descriptor = acquire(folder / LOCK)
    if descriptor is None:
        raise _held(folder)
    try:
        if not try_lock(descriptor, fcntl.LOCK_SH):
            raise _held(folder)
        yield descriptor
    finally:
        os.close(descriptor)


def share_lock(folder: Path) -> int:
    """Hold the lock as one of the job's ranks, until this process ends."""
    descriptor = os.open(folder / LOCK, os.O_RDWR)
    if not try_lock(descriptor, fcntl.LOCK_SH):
        raise _held(folder)
    return descriptor


def wait_for_ranks(lock: int, seconds: float) -> bool:
    """Whether all ranks end within so many seconds."""
    deadline = time.monotonic() + seconds
    # Only an exclusive lock proves that nobody shares it any more; between two tries it is shared again.
    while not (all_ended := try_lock(lock, fcntl.LOCK_EX)) and time.monotonic() < deadline:
        try_lock(lock, fcntl.LOCK_SH)
        time.sleep(0.2)
    return all_ended


def sign_in(spec: Path, rank: int) -> None:
    """Leave this rank's process and host beside the order, locked until the process ends."""
    acquire(spec.with_name(f"{RANK}{rank}"))


def running_ranks(spec: Path) -> str:
    """The ranks of this order that have not ended, with process and host."""
    paths = sorted(spec.parent.glob(f"{RANK}*"))
    return ", ".join(f"{path.name} ({holder(path)})" for path in paths if is_held(path)) or "unknown ranks"


def _held(folder: Path) -> PrunegridError:
    owner = holder(folder / LOCK)
    return PrunegridError(folder, f"a job (started by {owner}) is training this cell", "wait for it, or stop it")
