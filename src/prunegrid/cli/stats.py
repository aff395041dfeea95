"""Test whether models differ, item by item, from logs of their answers."""

import argparse
import json
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from prunegrid.cli.arguments import named_value
from prunegrid.core.errors import PrunegridError

LOG = """a log: lm-eval's samples_*.jsonl or output folder, a cell's folder in results/<experiment>/evaluation, or
JSON lines, CSV or Parquet with id and score; NAME=LOG,LOG,... names several runs of one recipe"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("logs", nargs="+", metavar="[NAME=]LOG[,LOG]", help=LOG)
    parser.add_argument("--against", metavar="NAME", help="the baseline; default: the first")
    parser.add_argument("--metric", metavar="A[,B]", help="scores to compare; of each task, the first that it has")
    parser.add_argument("--filter", metavar="A[,B]", help="lm-eval's filters; of each task, the first that it has")
    parser.add_argument("--cluster", metavar="FIELD", help="field; items with the same value are not independent")
    parser.add_argument("--common", action="store_true", help="skip items and tasks that are not in all logs")
    parser.add_argument("--any-prompt", action="store_true", help="compare answers even if prompts differ")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.compare import compare, entry_names

    if len(options.logs) < 2:
        raise PrunegridError("logs", "one is given", "give at least two: prunegrid stats A B")
    entries = [_entry(text) for text in options.logs]
    derived = entry_names([paths[0] for _, paths in entries])
    names = [name or other for (name, _), other in zip(entries, derived, strict=True)]
    keys = ("against", "metric", "filter", "cluster", "common", "any_prompt")
    choices = {key: getattr(options, key) for key in keys}
    comparison = compare(*(paths for _, paths in entries), names=names, **choices)
    if options.json:
        rows = map(asdict, comparison)
        print(json.dumps({"differences": [*map(_plain, rows)], "notes": comparison.notes}, indent=1))
    else:
        print(comparison)


def _entry(text: str) -> tuple[str | None, list[Path]]:
    """The name, if there is one, and the paths of `NAME=path,path`; a path that exists may have = and commas."""
    name: str | None = None
    if "=" in text and not Path(text).exists():
        name, text = named_value(text, "log", "full=out/full")
    paths = [text] if Path(text).exists() else text.split(",")
    return name, [Path(path) for path in paths]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and isnan(value) else value for key, value in row.items()}
