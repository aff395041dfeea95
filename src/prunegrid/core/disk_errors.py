"""Writes that fail because the disk is full or may not be written to, in one clear line."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunegrid.core.errors import PrunegridError, first_line

FULL_DISK = {errno.ENOSPC: "No space left", errno.EDQUOT: "quota exceeded", errno.EFBIG: "File too large"}
FORBIDDEN = {errno.EROFS: "Read-only file system"}
BY_OWNER = (errno.EACCES, errno.EPERM)
RERUN = "then the same command goes on"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell a write of `path`, or of what it is made of, that the disk refuses in the block as a `PrunegridError`."""
    try:
        yield
    except PrunegridError:
        raise
    except Exception as error:
        if words := refusal(error, path):
            raise PrunegridError(words) from error
        raise


def refusal(error: BaseException, path: Path) -> str:
    """What to say of `path` if the disk is full, or it may not be written there; empty of any other error.

    Libraries wrap the system's error in their own (safetensors, torch), so its words count as its number does.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL_DISK or any(words in str(error) for words in FULL_DISK.values()):
        return f"{path}: cannot be written ({first_line(error)}; {free_space(path)}); make room, {RERUN}"
    own = number in BY_OWNER and str(getattr(error, "filename", "")).startswith(str(path.parent))
    if own or number in FORBIDDEN or any(words in str(error) for words in FORBIDDEN.values()):
        return f"{path}: cannot be written ({first_line(error)}); make its folder writable, {RERUN}"
    return ""


def free_bytes(path: Path) -> int:
    """Bytes free where `path` is, or will be."""
    path = path.absolute()
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.exists())).free


def free_space(path: Path) -> str:
    return f"{free_bytes(path) / 1e9:.3f} GB are free there"
