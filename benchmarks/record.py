"""Run a benchmark and record what it measured in benchmarks/results/NAME[-VARIANT].json.

    python benchmarks/record.py NAME[-VARIANT] [ARGUMENTS]   # runs benchmarks/NAME.py with these arguments
    python benchmarks/record.py --all GROUP [NAME ...]       # the commands of a group of benchmarks/commands.txt

The record holds the script's last line of JSON with the command, date, commit, machine, and how busy the machine was.
`--all` skips commands already recorded for the same code, and continues after a failure: repeat it to resume.
`benchmarks/page.py` makes docs/results/speed.md of the records.
"""

import argparse
import json
import os
import platform
import re
import shlex
import string
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from children import cpu_seconds

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMMANDS = ROOT / "benchmarks" / "commands.txt"
MEASURED = ("src", "workflow", "benchmarks/programs", "benchmarks/simulated", "benchmarks/children.py")
DEFAULTS = {"SANDBOX": "results/sandbox"}


class Command(NamedTuple):
    """A line of commands.txt."""

    group: str
    name: str
    minutes: str
    arguments: str

    @property
    def script(self) -> str:
        return self.name.partition("-")[0]

    def filled(self) -> list[str] | None:
        """The arguments with the environment's folders; None if one of them is not set."""
        try:
            return [string.Template(word).substitute(DEFAULTS | os.environ) for word in shlex.split(self.arguments)]
        except KeyError as missing:
            print(f"{self.name}: skipped, since the variable {missing.args[0]} is not set", flush=True)
            return None


def commands() -> list[Command]:
    lines = [line for line in COMMANDS.read_text().splitlines() if line and not line.startswith("#")]
    return [Command(*[*line.split(maxsplit=3), ""][:4]) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", metavar="GROUP", choices=sorted({command.group for command in commands()}))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the records; default: benchmarks/results")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="NAME [ARGUMENTS]")
    options = parser.parse_args()
    if not options.all:
        if not options.rest:
            parser.error("name a benchmark, or a group with --all")
        name, *arguments = options.rest
        record(name, arguments, options.out)
        return
    failed = []
    for command in commands():
        chosen = command.group == options.all and (not options.rest or command.name in options.rest)
        arguments = command.filled() if chosen else None
        if arguments is None or is_recorded(command.name, arguments, options.out):
            continue
        try:
            record(command.name, arguments, options.out)
        except SystemExit as error:
            print(error, file=sys.stderr, flush=True)
            failed.append(command.name)
    sys.exit(f"not recorded: {', '.join(failed)}" if failed else 0)


def record(name: str, arguments: list[str], folder: Path) -> None:
    """Run a script and write its record; without a last line of JSON there is none."""
    script = ROOT / "benchmarks" / f"{name.partition('-')[0]}.py"
    if not script.exists():
        sys.exit(f"{name}: there is no benchmarks/{script.name}")
    print(f"--- {name}: {shown(script, arguments)}", flush=True)
    facts = {"name": name, "command": shown(script, arguments), "date": datetime.now(UTC).isoformat("T", "minutes")}
    facts |= {"commit": git("rev-parse", "--short", "HEAD"), "dirty": bool(changed())}
    facts |= {"machine": machine(), "load_at_start": [round(load, 2) for load in os.getloadavg()]}
    began, busy, own = time.perf_counter(), busy_seconds(), cpu_seconds()
    status, last = run([sys.executable, str(script), *arguments])
    seconds, own = time.perf_counter() - began, cpu_seconds() - own
    if status:
        sys.exit(f"{name}: {script.name} ended with status {status}; nothing is recorded")
    try:
        measured = json.loads(last)
    except ValueError:
        sys.exit(f"{name}: the last line of {script.name} is not JSON; nothing is recorded")
    others = max(0.0, (busy_seconds() - busy - own) / seconds)
    facts |= {"wall_seconds": round(seconds, 1), "cores_busy_with_other_work": round(others, 2)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(facts | {"measured": rounded(measured)}, indent=1) + "\n")


def rounded(value: Any) -> Any:
    """Numbers to six significant digits."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def run(command: list[str]) -> tuple[int, str]:
    """Exit status and last line; the output is passed on as it comes."""
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        for line in process.stdout:
            if last:
                print(last, end="", flush=True)
            last = line
    return process.returncode, last


def is_recorded(name: str, arguments: list[str], folder: Path) -> bool:
    """Whether there is a record of this command, and the code that it measured is that of now."""
    file = folder / f"{name}.json"
    if not file.exists():
        return False
    script = ROOT / "benchmarks" / f"{name.partition('-')[0]}.py"
    facts = json.loads(file.read_text())
    if facts["command"] != shown(script, arguments) or facts.get("dirty", True):
        return False
    return git("diff", "--name-only", facts["commit"], "--", *MEASURED, str(script)) == ""


def shown(script: Path, arguments: list[str]) -> str:
    """The command, without folders of this machine."""
    data = os.environ.get("PRUNEGRID_DATA")
    words = []
    for word in arguments:
        path = Path(word)
        if data and path.is_relative_to(data):
            words.append(f"$PRUNEGRID_DATA/{path.relative_to(data)}")
        else:
            words.append(shlex.quote(path.name if path.is_absolute() else word))
    return " ".join(["python", f"benchmarks/{script.name}", *words])


def git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    return None if done.returncode else done.stdout.strip()


def changed() -> str | None:
    return git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results", ":!docs")


def machine() -> dict[str, Any]:
    """In words, without the name of the host."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "transformers", "snakemake")},
    }


def busy_seconds() -> float:
    """CPU seconds of all processes of the machine since it started."""
    user, nice, system = (int(ticks) for ticks in Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
