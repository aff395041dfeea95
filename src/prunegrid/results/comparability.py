"""Whether the cells of one table were evaluated alike; scores that were not cannot stand side by side.

What the config decides (protocol, task, limit, dtype, engine) makes a cell stale where it differs. This is what no
config says: library versions, the step's version, the digests of tasks and items, and the base model, tokenizer and
template of one model's cells; and the engine once more, whose scores stand in no table with another's. A cell that is
evaluated again gets what is of now (`prunegrid.evaluation.fingerprint`), so the cells to evaluate again are those that
are not of now, be they few or many; where now does not tell, those of the rarer value.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation.engines import TRANSFORMERS, recorded_engine
from prunegrid.evaluation.fingerprint import PACKAGES, code_fingerprint
from prunegrid.experiment import layout
from prunegrid.experiment.grid import Cell
from prunegrid.status import Files

BENCHMARK_KEYS = ("step", "schema", "task_hash", "data_hash")
MODEL_DIGESTS = ("model", "tokenizer", "template")
NAMED = 20

At = tuple[Cell, str]
Found = dict[str, list[At]]
"""The places of each value, as JSON text."""


def check_comparable(files: Files, done: Sequence[At]) -> None:
    """Raise a `PrunegridError` where the records of (cell, benchmark) differ; it says what to evaluate again."""
    records = {at: files.content(_name(at)) for at in done}
    packages = sorted({*PACKAGES, *(name for record in records.values() for name in record.get("versions", {}))})
    values: dict[str, Found] = {}
    for at, record in records.items():
        for what, value in _properties(at, record, packages):
            values.setdefault(what, {}).setdefault(json.dumps(value), []).append(at)
    if unlike := [what for what, found in values.items() if len(found) > 1]:
        now = _current_values({benchmark: record for (_, benchmark), record in records.items()})
        raise _error(files.root, unlike[0], values, now, _to_reevaluate(values, now))


def _properties(at: At, record: dict[str, Any], packages: list[str]) -> Iterator[tuple[str, Any]]:
    """What has to be equal: (of whom and what, value); None where the record does not say."""
    (cell, benchmark), versions, digests = at, record.get("versions", {}), record.get("digests", {})
    yield "engine", recorded_engine(record)
    yield from ((f"{benchmark}: {key}", record.get(key)) for key in BENCHMARK_KEYS)
    yield from ((f"version of {name}", versions.get(name)) for name in packages)
    yield from ((f"{cell.model}: digest of the {key}", digests.get(key)) for key in MODEL_DIGESTS)


def _current_values(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The values that evaluations would write now, of the properties of which that is known; a record a benchmark."""
    values: dict[str, Any] = {}
    engines = {recorded_engine(record) for record in records.values()}
    engine = engines.pop() if len(engines) == 1 else TRANSFORMERS
    for benchmark, record in records.items():
        current = code_fingerprint(record["protocol"], record["task"], engine)
        current.pop("engine", None)
        values |= {f"version of {name}": version for name, version in current.pop("versions").items()}
        values |= {f"{benchmark}: {key}": value for key, value in current.items()}
    return {what: json.dumps(value) for what, value in values.items()}


def _to_reevaluate(values: dict[str, Found], now: dict[str, str]) -> list[At]:
    """What to evaluate again for all to be alike: what is not of now; of the rest, what has a rarer value.

    Whatever is evaluated again is of now in everything, and so has to be what it is to stand beside.
    """
    again = {at: None for what, own in now.items() for value, at in _places(values[what]) if value != own}
    for found in values.values():
        left = Counter(value for value, at in _places(found) if at not in again)
        common = left.most_common(1)
        again |= {at: None for value, at in _places(found) if common and value != common[0][0]}
    return list(again)


def _places(found: Found) -> Iterator[tuple[str, At]]:
    return ((value, at) for value, places in found.items() for at in places)


def _error(root: Path, what: str, values: dict[str, Found], now: dict[str, str], again: list[At]) -> PrunegridError:
    found = sorted(values[what].items(), key=lambda item: -len(item[1]))
    told = "; ".join(f"{value[:40]} in {_named(places)}" for value, places in found)
    if what in now:
        told += f"; an evaluation would write {now[what][:40]} now"
    remedy = f"rm {' '.join(str(root / _name(at)) for at in again)}, then run the workflow"
    if len(again) > NAMED:
        remedy = "run the workflow with --forcerun evaluate, which asks only what would be written otherwise now"
    problem = f"these cells were not evaluated alike and cannot stand in one table: {what} is {told}"
    return PrunegridError(root, problem, f"evaluate {_named(again)} again: {remedy}")


def _named(places: list[At]) -> str:
    cells = list(dict.fromkeys(cell.name for cell, _ in places))
    return ", ".join(cells[:3]) + (f" and {len(cells) - 3} more cells" if cells[3:] else "")


def _name(at: At) -> str:
    return layout.score(at[0].name, at[1])
