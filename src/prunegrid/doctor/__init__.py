"""What this machine can run, and whether it has what an experiment needs.

prunegrid doctor [EXPERIMENT.yaml]

A probe is a function that returns a description, or raises what is wrong; either becomes a line. No probe uses the
network, and none writes a file.
"""

import platform
from collections.abc import Callable
from pathlib import Path

from prunegrid import __version__
from prunegrid.core.errors import PrunegridError
from prunegrid.doctor import machine
from prunegrid.doctor.needs import experiment_probes
from prunegrid.experiment.locate import read_config

__all__ = ["examine"]


def examine(file: Path | None = None) -> bool:
    """Print what this machine has and what the experiment, if given, needs; return whether it has everything."""
    experiment = read_config(file) if file else None
    print(f"prunegrid {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for name, probe in machine.MACHINE.items():
        _print_probe(name, probe)
    if experiment is None:
        return True
    print(f"\n{file}: {experiment.experiment}")
    results = [_print_probe(name, probe) for name, probe in experiment_probes(experiment)]
    failure = f"it cannot run here: see the {results.count(False)} line(s) with !!"
    print(f"\n{'nothing is missing, as far as this check can see' if all(results) else failure}")
    return all(results)


def _print_probe(name: str, probe: Callable[[], str]) -> bool:
    try:
        text, passed = probe(), True
    except PrunegridError as error:
        text, passed = str(error), False
    except Exception as error:
        text, passed = f"cannot tell: {type(error).__name__}: {error}", False
    for line in text.splitlines():
        print(f"{'  ' if passed else '!!'} {name:<10} {line}", flush=True)
    return passed
