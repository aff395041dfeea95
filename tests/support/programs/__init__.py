"""Programs that tests and `make` start."""

import subprocess
import sys
from pathlib import Path

PROGRAMS_DIR = Path(__file__).parent


def program(name: str, *arguments: object) -> list[str]:
    """The command line of one of them."""
    return [sys.executable, str(PROGRAMS_DIR / f"{name}.py"), *map(str, arguments)]


def imported_by(*names: str) -> set[str]:
    """Every module that a new process has after it imported the modules `names`."""
    line = program("imports", *names)
    return set(subprocess.run(line, capture_output=True, text=True, check=True).stdout.split())
