"""The chain of digests: each record names the files it was made from, and its own, by SHA-256.

Two keys of a record (docs/reference/files.md) map file names to what the command `sha256sum` prints: `inputs`, with
names
relative to the results folder (in a folder of one's own, to the record's), and `sha256`, what was written with the
record, with names relative to the record's folder. docs/explanation/reliability.md says who checks what.
"""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import opening, repair, sha256, sha256sum

HASHED_TOGETHER = 4  # files at a time: hashlib releases the interpreter's lock

Sums = dict[Path, str]
"""SHA-256 of files, by their paths."""


def hash_files(files: Iterable[Path]) -> Sums:
    """The SHA-256 of each file, in the order given."""
    paths = list(files)
    with ThreadPoolExecutor(HASHED_TOGETHER) as pool:
        return dict(zip(paths, pool.map(_hash, paths), strict=True))


def _hash(path: Path) -> str:
    with opening(path):
        return sha256sum(path)


def combine_sums(sums: Iterable[str]) -> str:
    """`files.sha256` of the files that have these sums, without reading them again."""
    return sha256(*map(bytes.fromhex, sums))


def relative_sums(sums: Mapping[Path, str], base: Path) -> dict[str, str]:
    """The sums by the files' names relative to the folder `base`, as records hold them."""
    return {Path(os.path.relpath(path, base)).as_posix(): digest for path, digest in sums.items()}


def check_files(files: Iterable[Path], record: Path, recorded: Mapping[str, str]) -> Sums:
    """The SHA-256 of each file, refused if it is not `recorded` (by its name relative to the record's folder).

    A file that the record does not name is not compared: older versions and hand-made records lack some.
    """
    sums = hash_files(files)
    for (path, digest), name in zip(sums.items(), relative_sums(sums, record.parent), strict=True):
        if recorded.get(name, digest) != digest:
            raise change_error(path, digest, recorded[name], record, restore(path))
    return sums


def change_error(path: Path, digest: str, recorded: str, record: Path, fix: str) -> PrunegridError:
    """The error for a file that is not the one that `record` names."""
    problem = f"its SHA-256 is {digest[:12]}..., but {record} records {recorded[:12]}...: the file changed"
    return PrunegridError(path, problem, fix)


def restore(path: Path) -> str:
    """How to repair a file or folder that is not the one that a record names."""
    return f"restore it, or {repair(path)}"
