"""Write docs/results/speed.md from the records in benchmarks/results/ and benchmarks/gpu/results/.

    python benchmarks/page.py [--records FOLDER] [--gpu FOLDER] [--out FILE]

Benchmarks without a record are one list of commands at the end. tests/benchmarks/test_speed_page.py compares the
committed page with what the committed records give.
"""

import argparse
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from record import RESULTS, ROOT, commands
from sections import Section, data, models, simulations

PAGE = ROOT / "docs" / "results" / "speed.md"
GPU = ROOT / "benchmarks" / "gpu" / "results"
MODULES = {
    "Models": (models, "scoring training evaluation prefixes conversations columns rescoring"),
    "Data and selection": (data, "pruning choosing diversity duplicates intake"),
    "Workflow and pages": (data, "startup dag status report"),
    "Simulations": (simulations, "inference draws ladder readings sandbox"),
}
OPENING = """# Benchmarks

After this page you know how fast each part of prunegrid is compared with the usual way, what simulations say about its
statistics, on which machine both were measured, and how to repeat them on yours. `python benchmarks/page.py` writes it
from the records in `benchmarks/results/`.

Ratios of two sides of one run hold on other machines better than seconds do. *CPU seconds* are user and system time:
they change little when other work shares the machine. *Seconds*, by the clock, change much. Each record says how many
cores were busy with other work. *Peak memory* is that of one process, in MB of 2^20 bytes.
"""
SUMMARY = """## In short

| compared | prunegrid | measured |
|---|---|---|
"""
RECORD = """## Record your own

    python benchmarks/record.py NAME[-VARIANT] [ARGUMENTS]    # one benchmark, into benchmarks/results/
    make benchmarks                                           # those of benchmarks/commands.txt; repeat it to resume
    make speed                                                # this page, from the records

`$SANDBOX` is a finished run of config.yaml (`make results`), `$MODEL` the folder of SmolLM2-135M-Instruct, and
`$PRUNEGRID_DATA` a folder of data sets laid out org/name/config/split.jsonl.
"""
NO_GPU = """## GPU

No run on a CUDA device has been recorded yet. One takes nine minutes
([benchmarks/gpu/README.md](../../benchmarks/gpu/README.md)):

    python benchmarks/gpu --out DIR --seconds 540
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RESULTS)
    parser.add_argument("--gpu", type=Path, default=GPU)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    options.out.write_text(page(options.records, options.gpu))
    print(options.out)


def page(records: Path, gpu: Path) -> str:
    """The whole page, as text."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(records.glob("*.json"), key=lambda file: file.stem):
        found.setdefault(file.stem.partition("-")[0], []).append(json.loads(file.read_text()))
    summary, parts, missing = [], [], []
    for title, (module, names) in MODULES.items():
        recorded = [name for name in names.split() if name in found]
        missing += [name for name in names.split() if name not in found]
        parts += [f"## {title}\n"] * bool(recorded)
        for name in recorded:
            made = [(record, getattr(module, name)(record["measured"])) for record in found[name]]
            summary += [(*section.headline, name) for _, section in made if section.headline]
            parts.append("\n".join(benchmark(name, made)))
    rest = [not_recorded(missing)] * bool(missing)
    head = [SUMMARY + "".join(f"| {what} | {ratio} | [{name}](#{name}) |\n" for what, ratio, name in summary)]
    return "\n".join([OPENING, *(head if summary else []), *parts, *graphics_cards(gpu), *rest, RECORD])


def benchmark(name: str, made: list[tuple[dict[str, Any], Section]]) -> Iterator[str]:
    """A script's section: its records."""
    yield f"### {name}\n"
    for record, section in made:
        yield f"{section.claim}\n\n{table(section.rows)}\n\n    {record['command']}\n\n{provenance(record)}\n"


def not_recorded(names: list[str]) -> str:
    """One list instead of empty sections, with the anchors of these sections, since pages link to them."""
    anchors = ", ".join(f'<a id="{name}"></a>{name}' for name in names)
    commands_of_all = "\n".join(map(usual_commands, names))
    return f"## Not recorded yet\n\n{anchors}:\n\n{commands_of_all}\n"


def usual_commands(name: str) -> str:
    listed = [f"    python benchmarks/{name}.py {one.arguments}".rstrip() for one in commands() if one.script == name]
    return "\n".join(listed or [f"    python benchmarks/{name}.py --help"])


def table(rows: list[dict[str, str]]) -> str:
    """Markdown; a column without any value is left out."""
    names = [name for name in rows[0] if any(row.get(name) for row in rows)]
    lines = [names, ["---"] * len(names), *([row.get(name, "") for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def provenance(record: dict[str, Any]) -> str:
    """When and where it was measured, in one line."""
    if "source" in record:
        return f"{day(record['date'])}; {record['machine']}. {record['source'].capitalize()}."
    machine = record["machine"]
    libraries = ", ".join(f"{name} {machine[name]}" for name in ("torch", "transformers", "snakemake"))
    changed = " with changes" if record["dirty"] else ""
    return (
        f"{day(record['date'])}, commit {record['commit']}{changed}; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB; Python {machine['python']}, {libraries}; {record['wall_seconds']:.0f} s, "
        f"load {record['load_at_start'][0]:.1f} at the start, "
        f"other work on {record['cores_busy_with_other_work']:.1f} cores."
    )


def day(date: str) -> str:
    return datetime.fromisoformat(date).strftime("%-d %B %Y")


def graphics_cards(folder: Path) -> Iterator[str]:
    """The goals of each run of benchmarks/gpu."""
    files = sorted(folder.glob("*.json"))
    if not files:
        yield NO_GPU
        return
    yield "## GPU\n"
    for file in files:
        results = json.loads(file.read_text())
        rows = [
            {"goal": goal["goal"], "wanted": goal["wanted"], "measured": _measured(goal["measured"])}
            for goal in results["goals"]
        ]
        card = results["sections"].get("facts", {}).get("card", file.stem)
        yield f"{card}: what [benchmarks/gpu](../../benchmarks/gpu/README.md) measured, and the project's goals.\n"
        yield f"{table(rows)}\n\n{day(results['date'])}, commit {results['commit'][:7]}.\n"


def _measured(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
