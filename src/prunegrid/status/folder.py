"""What a results folder contains: JSON files, logs and locks of steps."""

import hashlib
import os
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from prunegrid.core import files as core_files
from prunegrid.core import locks
from prunegrid.core.errors import PrunegridError
from prunegrid.core.step import DONE, lock_path
from prunegrid.experiment import layout
from prunegrid.experiment.step import Step

GONE = object()
UNKNOWN = "not recorded"
TAIL = 1 << 16  # bytes


class Files:
    """The small files of the results folder `root`, each read once: make a new object to see changes.

    Files are named by their path relative to `root`. These are strings, since there are tens of thousands.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, frozenset[str]] = {}
        self._contents: dict[str, Any] = {}
        self._digests: dict[str, str] = {}
        self._states: dict[str, str | None] = {}
        self._shards: dict[str, list[Step]] = {}

    def exists(self, name: str) -> bool:
        folder, _, base = name.rpartition("/")
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(entry.name for entry in os.scandir(f"{self.root}/{folder}"))
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = frozenset()
        return base in self._names[folder]

    def values(self, name: str, *keys: str, absent: Any = None) -> list[Any]:
        """The values of dotted keys in a JSON file; all None if there is no file.

        A missing key is an error, or has the value `absent`, if given: older versions did not write all keys.
        """
        content = self.content(name)
        if content is GONE:
            return [None] * len(keys)
        try:
            return [reduce(getitem, key.split("."), content) for key in keys]
        except (KeyError, TypeError):
            if absent is not None:
                return [absent] * len(keys)
            path = self.root / name
            raise PrunegridError(path, f"lacks one of {', '.join(keys)}", core_files.repair(path)) from None

    def value(self, name: str, key: str, absent: Any = None) -> Any:
        """One of `values`."""
        (value,) = self.values(name, key, absent=absent)
        return value

    def content(self, name: str) -> Any:
        """All of a JSON file; `GONE` if it does not exist, or was removed meanwhile by a job that makes it again."""
        if name not in self._contents:
            self._contents[name], self._digests[name] = _read(self.root / name) if self.exists(name) else (GONE, "")
        return self._contents[name]

    def records(self) -> list[str]:
        """The JSON files that have been read, in order of their names."""
        return sorted(name for name, content in self._contents.items() if content is not GONE)

    def digest(self, name: str) -> str:
        """The SHA-256 of a JSON file that exists, as the command `sha256sum` prints it."""
        self.content(name)
        return self._digests[name]

    def is_unseen(self, made: str, source: str) -> bool:
        """Whether Snakemake takes `made` for up to date with `source`, which is not newer."""
        return _modified(self.root / made) >= _modified(self.root / source)

    def state(self, log: str) -> str | None:
        """How the step with this log is: `done`, `failed`, `running`, or None if it has not begun."""
        if log not in self._states:
            self._states[log] = self._state(log)
        return self._states[log]

    def _state(self, log: str) -> str | None:
        """A killed step leaves a log without an ending, as a running one does, but only the latter holds its lock."""
        path = self.root / log
        try:
            lines = last_lines(path) if self.exists(log) else None
        except FileNotFoundError:
            lines = None
        if lines and lines[-1].startswith(DONE):
            return "done"
        return "running" if locks.is_held(lock_path(path)) else "failed" if lines is not None else None

    def shards(self, model: str) -> list[Step]:
        """The shards of the model's scoring pass, by their logs.

        A log older than that of `gather_scores` is left out: it is of an earlier pass, with other shards perhaps, or of
        a shard whose scores have been gathered.
        """
        if model not in self._shards:
            oldest = _modified(self.root / layout.log("gather_scores", model))
            logs = sorted(self.root.glob(layout.log("score", f"{model}/*")))
            self._shards[model] = [Step("score", f"{model}/{log.stem}", ()) for log in logs if _modified(log) >= oldest]
        return self._shards[model]


def _read(path: Path) -> tuple[Any, str]:
    """As `read_json`, but several times as fast, with the file's SHA-256; damage is left to that, for its errors."""
    try:
        text = path.read_bytes()
        return from_json(text), hashlib.sha256(text).hexdigest()
    except FileNotFoundError:
        return GONE, ""
    except (ValueError, OSError):
        return core_files.read_json(path), ""


def _modified(file: Path) -> float:
    """When the file was last written, in seconds since the epoch; 0 if there is none."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def last_lines(log: Path) -> list[str]:
    """The non-blank lines of the log's last `TAIL` bytes."""
    with log.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > TAIL:
            file.seek(size - TAIL)
        text = file.read().decode(errors="replace")
    return [line for line in text.split("\n") if line.strip()]
