"""What an evaluation asks: a protocol's tasks (YAML) and a benchmark's items (a local file). No lm-eval here.

Items are reduced to the fields that the task reads, so an item's hash depends neither on the file's format
nor on columns that nobody reads.
"""

from __future__ import annotations

import json
import re
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_records, repair, sha256

if TYPE_CHECKING:
    from prunegrid.experiment.sections import DataRef
from prunegrid.tasks.catalog import read_task, task_function


class BenchmarkItems(NamedTuple):
    """The documents to ask, the digests that group them (None: each by itself), and how many there are of them.

    `available`: rows of the file; `eligible`: those that the protocol asks; `complete`: as many as it asks of the
    complete data set, None where that is not known.
    """

    docs: list[dict[str, Any]]
    clusters: list[str] | None
    available: int
    eligible: int
    complete: int | None


def read_items(path: Path, protocol: str, task: str, ref: DataRef, limit: int | None = None) -> BenchmarkItems:
    """The first `limit` items of `path` that the task asks, reduced to the fields that it reads.

    `ref` is the data set that the file is a copy of: its row and item counts are checked where the task knows them.
    """
    told = read_task(protocol, task)["metadata"]
    rows = read_records(path, repair(path))
    reduced = [_whole(row, told, f"{path}: item {i}") for i, row in enumerate(rows)]
    docs = list(filter(task_function(protocol, told["only"]), reduced)) if "only" in told else reduced
    if not docs:
        raise PrunegridError(
            f"{path}: none of its {len(rows)} items is one that {protocol}'s {task} asks ({told['only']})"
        )
    complete = _complete(path, told.get("complete", []), ref, len(rows), len(docs))
    return BenchmarkItems(docs[:limit], _clusters(docs[:limit], told), len(rows), len(docs), complete)


def _complete(path: Path, known: list[dict[str, Any]], ref: DataRef, rows: int, eligible: int) -> int | None:
    """How many items the protocol asks of the complete data set; an error where `path` cannot be (part of) it."""
    for entry in known:
        counts = {"rows": entry["rows"], "items": entry["items"]}
        if any(getattr(ref, key) != value for key, value in entry.items() if key not in counts):
            continue
        if rows > counts["rows"] or (rows == counts["rows"] and eligible != counts["items"]):
            raise PrunegridError(
                f"{path}: {rows} rows, {eligible} of them to be asked; the complete {ref.hub} ({ref.split}) has "
                f"{counts['rows']} and {counts['items']}; it is another data set: fetch it again, or correct its hub id"
            )
        return int(counts["items"])
    return None


def _clusters(docs: list[dict[str, Any]], told: dict[str, Any]) -> list[str] | None:
    """A digest per document of the fields in `cluster`; None where the task names none."""
    named = told.get("cluster", [])
    if unread := sorted(set(named) - set(told["fields"])):
        raise PrunegridError(f"metadata.cluster names {', '.join(unread)}, which is not among metadata.fields")
    return [sha256(json.dumps([_at(doc, field) for field in named])) for doc in docs] if named else None


def _at(doc: dict[str, Any], field: str) -> Any:
    return reduce(getitem, field.split("."), doc)


def _whole(row: dict[str, Any], told: dict[str, Any], where: str) -> dict[str, Any]:
    """The item, reduced; one that has the fields but cannot be asked or judged is an error."""
    doc = _reduce(row, told, where)
    for field, pattern in told.get("patterns", {}).items():
        if not re.search(pattern, str(_at(doc, field))):
            raise PrunegridError(
                f"{where}: {field} {_at(doc, field)!r} lacks {pattern}, which the task reads; correct it"
            )
    if "options" in told:
        texts, labels, answer = (_at(doc, told["options"][part]) for part in ("texts", "labels", "answer"))
        if len(texts) != len(labels) or not all(text.strip() for text in texts):
            raise PrunegridError(
                f"{where}: its options are {texts} with the labels {labels}; each needs a text; correct it"
            )
        if answer not in labels:
            raise PrunegridError(f"{where}: its answer {answer!r} is not among its labels {labels}; correct it")
    return doc


def _reduce(row: dict[str, Any], told: dict[str, Any], where: str) -> dict[str, Any]:
    """Copy the fields that the task reads, in its order (`answer.aliases` where nested).

    A missing (or null) one is an error naming those found, unless it is among the task's `optional` ones.
    """
    doc: dict[str, Any] = {}
    for field in [*told["fields"], *told.get("optional", [])]:
        *outer, last = field.split(".")
        source: Any = row
        for part in outer:
            source = source.get(part) if isinstance(source, dict) else None
        if isinstance(source, dict) and source.get(last) is not None:
            target = doc
            for part in outer:
                target = target.setdefault(part, {})
            target[last] = source[last]
        elif field in told["fields"]:
            wanted = ", ".join(told["fields"])
            raise PrunegridError(f"{where} has no {field}; the task reads {wanted}; found: {_names(row)}")
    return doc


def _names(row: dict[str, Any]) -> str:
    """The fields that have a value, dotted one level down."""
    names = []
    for key, value in row.items():
        inner = value if isinstance(value, dict) else {"": value}
        names += [f"{key}.{name}".rstrip(".") for name, item in inner.items() if item is not None]
    return ", ".join(names) or "nothing"
