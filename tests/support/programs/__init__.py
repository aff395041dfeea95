"""Programs that tests and `make` start."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def program(name: str, *arguments: object) -> list[str]:
    """The command line of one of them."""
    return [sys.executable, str(HERE / f"{name}.py"), *map(str, arguments)]


def imported_by(*modules: ModuleType) -> set[str]:
    """Every module that a new process has after it imported these."""
    line = program("imports", *(module.__name__ for module in modules))
    return set(subprocess.run(line, capture_output=True, text=True, check=True).stdout.split())
