"""Whether the cells of one table are comparable: evaluated in the same way, by the same code.

A difference from the config (protocol, task, limit, dtype) makes a cell stale. This module checks what no config says:
library versions, the step's version, digests of tasks and items, digests of the base model, tokenizer and template of
one model's cells, and the engine. Re-evaluation always writes the current values (`prunegrid.evaluation.fingerprint`),
so the error asks to re-evaluate every cell whose record is not current, or the minority if no current value is known.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation.engines import recorded_engine
from prunegrid.evaluation.fingerprint import PACKAGES, code_fingerprint
from prunegrid.experiment import layout
from prunegrid.experiment.evaluation import Evaluation
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import TRANSFORMERS
from prunegrid.status import Files
from prunegrid.status.reasons import MODEL_DIGESTS

BENCHMARK_KEYS = ("step", "schema", "task_hash", "data_hash")
NAMED = 20

Score = tuple[Cell, str]
"""A cell and a benchmark."""
ScoresByValue = dict[str, list[Score]]
"""The scores whose record has a value, by the value as JSON text."""


def check_comparable(evaluation: Evaluation, files: Files, scores: Sequence[Score]) -> None:
    """Raise a `PrunegridError` that says what to re-evaluate if the records of these scores differ."""
    records = {score: files.content(_file(score)) for score in scores if score[1] in evaluation.asked}
    packages = sorted({*PACKAGES, *(name for record in records.values() for name in record.get("versions", {}))})
    properties: dict[str, ScoresByValue] = {}
    for score, record in records.items():
        for name, value in _properties(score, record, packages):
            properties.setdefault(name, {}).setdefault(json.dumps(value), []).append(score)
    if differing := [name for name, by_value in properties.items() if len(by_value) > 1]:
        current = _current_values(evaluation, {benchmark: record for (_, benchmark), record in records.items()})
        raise _error(files.root, differing[0], properties, current, _to_reevaluate(properties, current))


def _properties(score: Score, record: dict[str, Any], packages: list[str]) -> Iterator[tuple[str, Any]]:
    """(name, value) of everything that must be equal; None if the record does not have it."""
    (cell, benchmark), versions, digests = score, record.get("versions", {}), record.get("digests", {})
    yield "engine", recorded_engine(record)
    yield from ((f"{benchmark}: {key}", record.get(key)) for key in BENCHMARK_KEYS)
    yield from ((f"version of {name}", versions.get(name)) for name in packages)
    yield from ((f"{cell.model}: digest of the {key}", digests.get(key)) for key in MODEL_DIGESTS)


def _current_values(evaluation: Evaluation, records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The values that an evaluation would write now, as far as known; `records` has one record per benchmark."""
    values: dict[str, Any] = {}
    engines = {recorded_engine(record) for record in records.values()}
    engine = engines.pop() if len(engines) == 1 else TRANSFORMERS
    for benchmark in records:
        task = evaluation.find_task(benchmark)
        current = code_fingerprint(task, engine)
        current.pop("engine", None)
        values |= {f"version of {name}": version for name, version in current.pop("versions").items()}
        values |= {f"{benchmark}: {key}": value for key, value in current.items()}
    return {name: json.dumps(value) for name, value in values.items()}


def _to_reevaluate(properties: dict[str, ScoresByValue], current: dict[str, str]) -> list[Score]:
    """The scores to re-evaluate so that all become comparable.

    First those with a value that is not current. What is re-evaluated becomes current in every property, so of the
    remaining scores only those with a rarer value have to follow.
    """
    outdated = {
        score: None for name, value in current.items() for other, score in _pairs(properties[name]) if other != value
    }
    for by_value in properties.values():
        remaining = Counter(value for value, score in _pairs(by_value) if score not in outdated)
        common = remaining.most_common(1)
        outdated |= {score: None for value, score in _pairs(by_value) if common and value != common[0][0]}
    return list(outdated)


def _pairs(by_value: ScoresByValue) -> Iterator[tuple[str, Score]]:
    return ((value, score) for value, scores in by_value.items() for score in scores)


def _error(
    root: Path, name: str, properties: dict[str, ScoresByValue], current: dict[str, str], outdated: list[Score]
) -> PrunegridError:
    by_frequency = sorted(properties[name].items(), key=lambda item: -len(item[1]))
    values = "; ".join(f"{value[:40]} in {_cells(scores)}" for value, scores in by_frequency)
    if name in current:
        values += f"; re-evaluation would record {current[name][:40]}"
    remedy = f"rm {' '.join(str(root / _file(score)) for score in outdated)}, then run the workflow"
    if len(outdated) > NAMED:
        remedy = "run the workflow with --forcerun evaluate, which reruns only outdated evaluations"
    problem = f"these cells were not evaluated in the same way and cannot share a table: {name} is {values}"
    return PrunegridError(root, problem, f"re-evaluate {_cells(outdated)}: {remedy}")


def _cells(scores: list[Score]) -> str:
    cells = list(dict.fromkeys(cell.name for cell, _ in scores))
    return ", ".join(cells[:3]) + (f" and {len(cells) - 3} more cells" if cells[3:] else "")


def _file(score: Score) -> str:
    return layout.score(score[0].name, score[1])
