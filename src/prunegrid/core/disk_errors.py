"""One clear line for a write that fails because the disk is full or the folder is not writable."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunegrid.core.errors import PrunegridError, first_line

FULL_DISK = {errno.ENOSPC: "No space left", errno.EDQUOT: "quota exceeded", errno.EFBIG: "File too large"}
READ_ONLY = {errno.EROFS: "Read-only file system"}
NO_PERMISSION = (errno.EACCES, errno.EPERM)
NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST)
RERUN = "then rerun the same command"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a refusal of the disk in the block, which writes `path` or parts of it, into a `PrunegridError`."""
    try:
        yield
    except PrunegridError:
        raise
    except Exception as error:
        if refusal := disk_error(error, path):
            raise refusal from error
        raise


def disk_error(error: BaseException, path: Path) -> PrunegridError | None:
    """The error to raise for `path` if the disk is full or not writable; None for any other error.

    Libraries wrap the system's error in their own (safetensors, torch), so its text counts as well as its number.
    """
    number, text = (error.errno if isinstance(error, OSError) else None), str(error)
    if number in FULL_DISK or any(words in text for words in FULL_DISK.values()):
        problem, fix = f"cannot be written ({first_line(error)}; {free_space(path)})", "make room"
    elif _is_not_writable(error, path) or number in READ_ONLY or any(words in text for words in READ_ONLY.values()):
        problem, fix = f"cannot be written ({first_line(error)})", "make its folder writable"
    else:
        return None
    return PrunegridError(path, problem, f"{fix}, {RERUN}")


def _is_not_writable(error: BaseException, path: Path) -> bool:
    """Whether the system forbids to write there, or there can be no folder: below a file, or in `/proc`."""
    if not isinstance(error, OSError):
        return False
    name = str(error.filename or "")
    if error.errno in NO_FOLDER:
        return name in map(str, path.parents) or name.startswith(str(path.parent / f".{path.name}."))
    return error.errno in NO_PERMISSION and name.startswith(str(path.parent))


def free_bytes(path: Path) -> int:
    """Bytes free where `path` is, or will be."""
    path = path.absolute()
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.exists())).free


def free_space(path: Path) -> str:
    return f"{free_bytes(path) / 1e9:.3f} GB free there"
