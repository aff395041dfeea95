"""Run the real Snakemake on an experiment in a folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
# Two workers side by side have one core each: torch with more threads than cores is several times slower.
CORES = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


def snakemake(folder: Path, *arguments: str, config: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """`config` is written to the folder's own experiment file first."""
    line = command(folder, *arguments, config=config)
    return subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)


def command(folder: Path, *arguments: str, config: dict[str, Any] | None = None) -> list[str]:
    file = folder / "experiment.yaml"
    if config is not None:
        file.write_text(yaml.safe_dump(config, sort_keys=False))
    options = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [sys.executable, "-m", "snakemake", *options, *arguments, "--configfile", str(file)]


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def planned(folder: Path, *arguments: str, config: dict[str, Any] | None = None) -> dict[str, int]:
    """Jobs per rule that a dry run would do, without the target rule and the total."""
    done = snakemake(folder, "--dry-run", *arguments, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    stats = done.stdout.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)}
    return {name: count for name, count in jobs.items() if name not in ("all", "total")}
