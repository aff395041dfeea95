"""Measure how much selections overlap, compared with chance."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import named_value, whole_number

PATHS = "results/<experiment>, or two or more folders that `prunegrid prune` wrote, each with an optional name"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="[NAME=]DIR", help=PATHS)
    parser.add_argument("--model", help="compare only selections of this model of an experiment")
    parser.add_argument("--budget", metavar="s0.125-t0.5", help="compare only selections of this budget")
    parser.add_argument("--seed", type=whole_number(0), help="compare only selections of this seed")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write every pair of selections (.csv, .parquet), or the report (.md)",
    )


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.overlap import overlap

    named = [_entry(text) for text in options.paths]
    names = [name or path.resolve().name for name, path in named] if any(name for name, _ in named) else None
    choice = {name: getattr(options, name) for name in ("model", "budget", "seed")}
    overlaps = overlap(*(path for _, path in named), names=names, **choice)
    if options.out:
        overlaps.write(options.out)
    print(overlaps)
    if options.out:
        print(f"\n{options.out}: written")


def _entry(text: str) -> tuple[str | None, Path]:
    if "=" not in text or Path(text).exists():
        return None, Path(text)
    name, path = named_value(text, "folder", "mine=pruned")
    return name, Path(path)
