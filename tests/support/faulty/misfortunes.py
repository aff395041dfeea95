"""What befalls the jobs of a workflow, by `FAULTY_JOBS`: {script: [misfortune, argument, ...]}.

`killed` N [NAME]: SIGKILL at the N-th renaming of a finished temporary file whose name begins like this (with a dot),
half of which has reached the disk. `read-only` FOLDER: the folder is on a read-only mount, but for logs. `not root`:
without root's right to read everything. `slow` MARKER: makes the marker at the
first renaming, and waits until it is removed.
"""

import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS = 0x00020000
READ_EVERYTHING = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def arm(script: str) -> None:
    if plan := json.loads(os.environ["FAULTY_JOBS"]).get(script):
        MISFORTUNES[plan[0]](*plan[1:])


def act_at_renaming(number: int, act: Callable[[Path], None], beginning: str = ".") -> None:
    """Do this before the `number`-th renaming of a temporary file or folder whose name begins like this."""
    count = 0

    def counted(original: Any) -> Any:
        def rename(self: Path, target: Any) -> Any:
            nonlocal count
            count += self.name.startswith(beginning)
            if count == number and self.name.startswith(beginning):
                act(self)
            return original(self, target)

        return rename

    Path.replace, Path.rename = counted(Path.replace), counted(Path.rename)  # type: ignore[method-assign]


def killed(number: int, beginning: str = ".") -> None:
    def die(path: Path) -> None:
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                os.truncate(file, file.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    act_at_renaming(number, die, beginning)


def slow(marker: str) -> None:
    def wait(_: Path) -> None:
        Path(marker).touch()
        until = time.monotonic() + 60
        while Path(marker).exists() and time.monotonic() < until:
            time.sleep(0.05)

    act_at_renaming(1, wait)


def read_only(folder: str) -> None:
    """For this process and its children alone."""
    if LIBC.unshare(NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("--make-rprivate", "/")
    _mount("--bind", folder, folder)
    for logs in Path(folder).glob("*/logs"):
        _mount("--bind", str(logs), str(logs))
    _mount("-o", "remount,bind,ro", folder)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def drop_root() -> None:
    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    sets = (ctypes.c_uint32 * 6)()
    header = Header(0x20080522, 0)
    LIBC.capget(ctypes.byref(header), sets)
    for place in range(3):
        sets[place] &= ~READ_EVERYTHING
    if LIBC.capset(ctypes.byref(header), sets):
        raise OSError(ctypes.get_errno(), "capset")


MISFORTUNES: dict[str, Callable[..., None]] = {
    "killed": killed,
    "slow": slow,
    "read-only": read_only,
    "not root": drop_root,
}
