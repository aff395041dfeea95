"""What this machine can run, and whether it has what an experiment needs.

prunegrid doctor [EXPERIMENT.yaml]

A probe is a function that returns what it found and raises where something is wrong; either way it is a line. No
probe asks a network, and none writes a file.
"""

import platform
from collections.abc import Callable
from pathlib import Path

from prunegrid import __version__
from prunegrid.core.errors import PrunegridError
from prunegrid.doctor import machine, needs
from prunegrid.experiment.locate import read

__all__ = ["examine"]


def examine(file: Path | None = None) -> bool:
    """Print what is here and, for an experiment's file, what it needs; whether it has all of that."""
    experiment = read(file) if file else None
    print(f"prunegrid {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for name, probe in machine.MACHINE.items():
        _say(name, probe)
    if experiment is None:
        return True
    print(f"\n{file}: {experiment.experiment}")
    right = [_say(name, probe) for name, probe in needs.of(experiment)]
    lacking = f"it cannot run here: see the {right.count(False)} line(s) with !!"
    print(f"\n{'as far as can be told, nothing is missing' if all(right) else lacking}")
    return all(right)


def _say(name: str, probe: Callable[[], str]) -> bool:
    try:
        text, right = probe(), True
    except PrunegridError as error:
        text, right = str(error), False
    except Exception as error:
        text, right = f"cannot tell: {type(error).__name__}: {error}", False
    for line in text.splitlines():
        print(f"{'  ' if right else '!!'} {name:<10} {line}", flush=True)
    return right
