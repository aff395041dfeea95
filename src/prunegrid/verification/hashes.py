"""SHA-256 of files, each computed once; of large weights only where that is asked for."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from prunegrid.core.files import opening, sha256sum

LARGE = 16 * 2**20  # bytes
WEIGHTS = ".safetensors"


class Hashes:
    """Digests of files. `deep` reads large weights, too; those that are left out are in `unread`."""

    def __init__(self, deep: bool) -> None:
        self.deep = deep
        self.sums: dict[Path, str] = {}
        self.unread: set[Path] = set()

    def find(self, path: Path, record: Path) -> str | None:
        """What `sha256sum` prints of the file; None for large weights that are not newer than their `record`."""
        if path not in self.sums:
            with opening(path):
                if self._is_left_out(path, record):
                    self.unread.add(path)
                    return None
                self.sums[path] = sha256sum(path)
                self.unread.discard(path)
        return self.sums[path]

    def _is_left_out(self, path: Path, record: Path) -> bool:
        facts = path.stat()
        is_large = path.suffix == WEIGHTS and facts.st_size > LARGE
        return is_large and not self.deep and facts.st_mtime_ns <= record.stat().st_mtime_ns


def combine(sums: Iterable[str]) -> str:
    """The digest of several files that `core.files.sha256` gives, from their own sums."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, sums))).hexdigest()
