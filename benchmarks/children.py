"""What several scripts need: a child process that prints its measurement as JSON, CPU seconds, growth."""

import json
import math
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def measured(name: str, command: Sequence[Any]) -> dict[str, Any]:
    """What a Python program prints; ends this process with the program's error if it fails."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def cpu_seconds() -> float:
    """User and system time of all children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def exponent(small: dict[str, Any], large: dict[str, Any], of: str, by: str = "samples") -> float:
    """The power of `by` with which `of` grows between two runs."""
    return math.log(large[of] / small[of]) / math.log(large[by] / small[by])
