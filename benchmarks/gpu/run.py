"""What only a GPU can tell about prunegrid, in one command of nine minutes (README.md beside this file).

    python benchmarks/gpu --out DIR --seconds 540                  # all sections, the most telling first
    python benchmarks/gpu --out DIR --device cpu --models tiny     # the same code at toy size
    python benchmarks/gpu rates DIR/results.json                   # these rates become those of `prunegrid plan`

Each section is a process with a limit of its own. `DIR/results.json` is written after each, `DIR/log.txt` has what they
printed. The last lines are a table of what was measured beside what is expected, and the goals.
"""

import argparse
import datetime
import importlib
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from gpu import limits, rates, report
from gpu.processes import PROJECT, run_section, section_command, write_json

SCHEMA = 1
LEAST = 20  # seconds; with less left no section is started


class Entry(NamedTuple):
    """A section's module, the model that it runs on (`large`, `small` or none), and the seconds that it may take on a
    GPU."""

    module: str
    size: str
    limit: float


ORDER = (
    Entry("facts", "", 50),
    Entry("kernels", "", 60),
    Entry("tests_gpu", "", 110),
    Entry("correct", "small", 60),
    Entry("training", "large", 190),
    Entry("scoring", "large", 75),
    Entry("generation", "large", 120),
    Entry("training", "small", 130),
    Entry("scoring", "small", 60),
    Entry("resume", "", 70),
    Entry("generation", "small", 80),
    Entry("vllm_engine", "small", 150),
)


def main() -> None:
    if sys.argv[1:2] == ["rates"]:
        rates.main(sys.argv[2:])
        return
    options = arguments()
    if options.section:
        run_here(options)
        return
    results = measure_all(options, ORDER)
    print("\n".join(results["table"]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of results.json and log.txt")
    parser.add_argument("--seconds", type=float, default=540, help="of the whole run")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--models", nargs="+", default=["7b", "1b"], choices=limits.SHAPES, help="the larger first")
    parser.add_argument("--only", nargs="+", choices=sorted({entry.module for entry in ORDER}), metavar="SECTION")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    parser.add_argument("--card", nargs=2, type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_all(options: argparse.Namespace, order: tuple[Entry, ...]) -> dict[str, Any]:
    """Run the sections in this order, as far as the seconds go; return what results.json holds in the end."""
    began, out, card = time.monotonic(), options.out, limits.Card()
    out.mkdir(parents=True, exist_ok=True)
    (out / "log.txt").unlink(missing_ok=True)
    results: dict[str, Any] = {"schema": SCHEMA, **provenance(options), "sections": {}}
    for entry in order:
        name, model = place(entry, options.models)
        if (options.only and entry.module not in options.only) or name in results["sections"]:
            continue
        remaining = options.seconds - (time.monotonic() - began)
        if remaining < LEAST:
            outcome: dict[str, Any] = {"ended": "not run", "why": f"{remaining:.0f} s were left"}
        else:
            limit = min(entry.limit if options.device == "cuda" else remaining, remaining - 4)
            part = out / "section.json"
            command = section_command(entry.module, model, options.device, part, limit - 6, card)
            outcome = run_section(command, part, out / "log.txt", limit, options.device)
        results["sections"][name] = outcome
        if entry.module == "facts":
            card = report.card_of(results)
        store(out / "results.json", results)
        print(f"[{time.monotonic() - began:4.0f} s] {name}: {report.brief(outcome)}", flush=True)
    return results


def store(path: Path, results: dict[str, Any]) -> None:
    """With everything that follows from the sections so far."""
    results["rates"] = rates.of_results(results)
    results["goals"] = report.goals(results)
    results["table"] = report.table(results)
    write_json(path, results)


def place(entry: Entry, models: list[str]) -> tuple[str, str]:
    """The section's name in the results, and its model."""
    model = {"large": models[0], "small": models[-1], "": models[-1]}[entry.size]
    return (f"{entry.module}:{model}" if entry.size else entry.module), model


def provenance(options: argparse.Namespace) -> dict[str, Any]:
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": done.stdout.strip() or "unknown",
        "device": options.device,
        "models": options.models,
    }


def run_here(options: argparse.Namespace) -> None:
    """The hidden side: one section in this process."""
    from gpu.measure import Section

    section = Section(options.device, options.models[0], options.out, options.seconds, limits.Card(*options.card))
    try:
        importlib.import_module(f"gpu.{options.section}").run(section)
    except BaseException:
        section.put("error", traceback.format_exc()[-3000:])
        raise
