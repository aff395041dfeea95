"""The items of a benchmark, read from a local file and checked against what its task reads. No lm-eval here.

Items are reduced to the fields that the task reads, so an item's hash depends neither on the file's format nor on
other columns.
"""

import json
import re
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple, Self

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_records, repair, sha256
from prunegrid.data.datasets import hub_rows
from prunegrid.experiment.dataset import DataRef
from prunegrid.tasks.task import Task


class BenchmarkItems(NamedTuple):
    """The items to evaluate, digests that group those that are not independent (None: all are), and their numbers.

    `available`: rows of the file; `eligible`: items of it under the protocol; `complete`: items of the complete data
    set under the protocol, None if unknown.
    """

    docs: list[dict[str, Any]]
    clusters: list[str] | None
    available: int
    eligible: int
    complete: int | None

    def take(self, doc_ids: Sequence[int]) -> Self:
        """Only these items, in this order."""
        clusters = [self.clusters[i] for i in doc_ids] if self.clusters else None
        return self._replace(docs=[self.docs[i] for i in doc_ids], clusters=clusters)


def read_items(
    path: Path, task: Task, ref: DataRef | None, limit: int | None = None, *, has_examples: bool = False
) -> BenchmarkItems:
    """The first `limit` of the file's items that the task takes, reduced to the fields that it reads.

    With `has_examples` the first line holds these (`evaluation.examples`).

    `ref` is the data set that the file is a copy of: its counts are checked if the task knows those of the whole.
    """
    metadata = task.metadata
    rows = read_records(path, repair(path))[int(has_examples) :]
    docs = _reduced(rows, task, f"{path}: item")
    if "only" in metadata:
        docs = list(filter(task.function(metadata["only"]), docs))
    if not docs:
        rule = metadata.get("only", task.config.get("process_docs"))
        problem = f"none of its {len(rows)} items is eligible for {task.name} ({rule})"
        raise PrunegridError(path, problem, "take another file, or another task")
    complete = _complete(path, metadata.get("complete", []), ref, len(rows), len(docs))
    clusters = _clusters(docs[:limit], metadata, task.name)
    asked = [_prepared(doc, task, f"{path}: item {i}") for i, doc in enumerate(docs[:limit])]
    return BenchmarkItems(asked, clusters, len(rows), len(docs), complete)


def prepare_docs(rows: list[dict[str, Any]], task: Task, place: str) -> list[dict[str, Any]]:
    """Rows as the task reads them; `place` names a row in errors, before its number."""
    return [_prepared(doc, task, f"{place} {i}") for i, doc in enumerate(_reduced(rows, task, place))]


def _reduced(rows: list[dict[str, Any]], task: Task, place: str) -> list[dict[str, Any]]:
    docs = [_item(row, task.metadata, f"{place} {i}") for i, row in enumerate(rows)]
    return _processed(docs, task) if "process_docs" in task.config else docs


def _processed(docs: list[dict[str, Any]], task: Task) -> list[dict[str, Any]]:
    """What lm-eval's `process_docs` makes of the items: it may change them, and leave some out."""
    function = task.config["process_docs"]
    processed = task.function(function)(hub_rows(docs))
    return [dict(doc) for doc in processed]


def _prepared(doc: dict[str, Any], task: Task, place: str) -> dict[str, Any]:
    try:
        return task.prepare(doc)
    except ValueError as error:
        problem, _, fix = str(error).partition("; ")
        raise PrunegridError(place, problem, fix) from None


def _complete(path: Path, data_sets: list[dict[str, Any]], ref: DataRef | None, rows: int, eligible: int) -> int | None:
    """Eligible items of the complete data set, None if unknown; an error if `path` cannot be a part of it."""
    for entry in data_sets if ref else ():
        counts = {"rows": entry["rows"], "items": entry["items"]}
        if any(getattr(ref, key) != value for key, value in entry.items() if key not in counts):
            continue
        if rows > counts["rows"] or (rows == counts["rows"] and eligible != counts["items"]):
            raise PrunegridError(
                path,
                f"{rows} rows, {eligible} of them eligible; the complete {entry['hub']} ({entry['split']}) has "
                f"{counts['rows']} and {counts['items']}, so this is a different data set",
                "download it again, or correct its hub id",
            )
        return int(counts["items"])
    return None


def _clusters(docs: list[dict[str, Any]], metadata: dict[str, Any], task: str) -> list[str] | None:
    """A digest per item of the fields in `cluster`; None if the task names none."""
    fields = metadata.get("cluster", [])
    if unread := sorted(set(fields) - set(metadata.get("fields") or fields)):
        problem = f"{', '.join(unread)} is not among metadata.fields"
        raise PrunegridError(f"{task}.yaml: metadata.cluster", problem, "add it there")
    return [sha256(json.dumps([_value(doc, field) for field in fields])) for doc in docs] if fields else None


def _value(doc: dict[str, Any], field: str) -> Any:
    return reduce(getitem, field.split("."), doc)


def _item(row: dict[str, Any], metadata: dict[str, Any], place: str) -> dict[str, Any]:
    """The reduced item; one that has the fields but cannot be evaluated or scored is an error."""
    doc = _reduce(row, metadata, place)
    _refuse_half_characters(doc, place)
    for field, pattern in metadata.get("patterns", {}).items():
        if not re.search(pattern, str(_value(doc, field))):
            raise PrunegridError(f"{place}: {field}", f"{_value(doc, field)!r} does not match {pattern}", "fix the row")
    if "options" in metadata:
        texts, labels, answer = (_value(doc, metadata["options"][part]) for part in ("texts", "labels", "answer"))
        if len(texts) != len(labels) or not all(text.strip() for text in texts):
            raise PrunegridError(place, f"its options are {texts} with the labels {labels}", "give each label a text")
        if answer not in labels:
            raise PrunegridError(place, f"its answer {answer!r} is not among its labels {labels}", "fix the row")
    return doc


def _refuse_half_characters(doc: dict[str, Any], place: str) -> None:
    """Refuse text that no file can hold: JSON may give one half (a surrogate) of a character alone."""
    text = json.dumps(doc, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"holds half a character ({text[max(0, error.start - 10) : error.end]!a})"
        raise PrunegridError(place, problem, "correct the text") from None


def _reduce(row: dict[str, Any], metadata: dict[str, Any], place: str) -> dict[str, Any]:
    """Copy the fields that the task reads, in its order (`answer.aliases` if nested); all, if it does not name them.

    A missing or null field is an error, unless it is among the task's `optional` ones.
    """
    if metadata.get("fields") is None:
        return row
    doc: dict[str, Any] = {}
    for field in [*metadata["fields"], *metadata.get("optional", [])]:
        *outer, last = field.split(".")
        source: Any = row
        for part in outer:
            source = source.get(part) if isinstance(source, dict) else None
        if isinstance(source, dict) and source.get(last) is not None:
            target = doc
            for part in outer:
                target = target.setdefault(part, {})
            target[last] = source[last]
        elif field in metadata["fields"]:
            fields = ", ".join(metadata["fields"])
            raise PrunegridError(place, f"has no {field}, only {_names(row)}", f"the task reads {fields}: add it")
    return doc


def _names(row: dict[str, Any]) -> str:
    """The fields that have a value, dotted one level down."""
    names = []
    for key, value in row.items():
        inner = value if isinstance(value, dict) else {"": value}
        names += [f"{key}.{name}".rstrip(".") for name, item in inner.items() if item is not None]
    return ", ".join(names) or "no field"
