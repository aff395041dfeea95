"""Whether the cells of one table were evaluated alike; scores that were not cannot stand side by side.

What the config decides (protocol, task, limit, dtype) makes a cell stale where it differs. This is what no config says:
library versions, the digests of tasks and items, and the base model, tokenizer and template of one model's cells.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell
from prunegrid.io import read_json

OF_BENCHMARK = ("task_hash", "data_hash", "schema")
OF_MODEL = ("model", "tokenizer", "template")


def refuse_unlike(root: Path, done: Sequence[tuple[Cell, str]]) -> None:
    """Raise a `PrunegridError` where the records of (cell, benchmark) differ; it names the cells of the rarer value."""
    values: dict[str, dict[str, list[tuple[Cell, str]]]] = {}
    for at in done:
        for what, value in _properties(*at, read_json(_path(root, *at))):
            values.setdefault(what, {}).setdefault(json.dumps(value), []).append(at)
    for what, found in values.items():
        if len(found) > 1:
            raise PrunegridError(_said(root, what, found))


def _properties(cell: Cell, benchmark: str, record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What has to be equal: (of whom and what, value)."""
    yield from ((f"{benchmark}: {key}", record.get(key)) for key in OF_BENCHMARK)
    yield from ((f"version of {name}", version) for name, version in record.get("versions", {}).items())
    yield from ((f"{cell.model}: digest of the {key}", record.get("digests", {}).get(key)) for key in OF_MODEL)


def _said(root: Path, what: str, found: dict[str, list[tuple[Cell, str]]]) -> str:
    common = Counter({value: len(places) for value, places in found.items()}).most_common()
    told = "; ".join(f"{value[:40]} in {_named(found[value])}" for value, _ in common)
    rare = [_path(root, *at) for value, _ in common[1:] for at in found[value]]
    return (
        f"{root}: these cells were not evaluated alike and cannot stand in one table: {what} is {told}. Evaluate the "
        f"fewer again: rm {' '.join(map(str, rare[:5]))}{' ...' if rare[5:] else ''}, then run the workflow"
    )


def _named(places: list[tuple[Cell, str]]) -> str:
    cells = list(dict.fromkeys(f"{cell.model}/{cell.path}" for cell, _ in places))
    return ", ".join(cells[:3]) + (f" and {len(cells) - 3} more cells" if cells[3:] else "")


def _path(root: Path, cell: Cell, benchmark: str) -> Path:
    return root / "evaluation" / cell.model / cell.path / f"{benchmark}.json"
