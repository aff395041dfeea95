"""The steps of both containers, run in a plain Debian root: gigabytes and minutes, so `make test-exhaustive` runs this.

A machine that reaches its package index in a way of its own says how in CONTAINER_STEPS, options of container_steps.py.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.snakemake_runs import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.exhaustive,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("debootstrap"), reason="needs root and debootstrap"),
]


@pytest.mark.parametrize("target", ["cpu", "definition"])
def test_steps_of_a_container_run_in_a_plain_root(target: str, tmp_path: Path) -> None:
    program = ROOT / "tests/support/programs/container_steps.py"
    options = shlex.split(os.environ.get("CONTAINER_STEPS", ""))
    subprocess.run([sys.executable, str(program), str(tmp_path / "root"), "--target", target, *options], check=True)
