"""What an evaluation asks: a protocol's tasks (YAML) and a benchmark's items (a local file). No lm-eval here.

Items are reduced to the fields that the task reads, so an item's hash depends neither on the file's format
nor on columns that nobody reads.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from prunegrid.errors import PrunegridError
from prunegrid.io import read_records, repair, sha256

if TYPE_CHECKING:
    from prunegrid.sections import DataRef

TASKS = Path(__file__).parents[1] / "tasks"
FUNCTION = "!function utils."
SAYS_ONLY = ("stock", "complete", "options", "patterns")


class _Loader(yaml.SafeLoader):
    """YAML in which `!function utils.name` stays text: tasks are read without their functions."""


_Loader.add_constructor("!function", lambda _, node: f"!function {node.value}")


def known_tasks(protocol: str) -> list[str]:
    """The protocol's task names, from its file names."""
    names = sorted(file.stem for file in (TASKS / protocol).glob("*.yaml"))
    if not names:
        raise PrunegridError(f"evaluation.protocol is {protocol!r}: there are no tasks in {TASKS / protocol}")
    return names


def read_task(protocol: str, task: str) -> dict[str, Any]:
    """The task's YAML; a function is the text `!function utils.name`."""
    known = known_tasks(protocol)
    if task not in known:
        raise PrunegridError(f"protocol {protocol!r} has no task {task!r}; its tasks: {', '.join(known)}")
    spec: dict[str, Any] = yaml.load((TASKS / protocol / f"{task}.yaml").read_text(), Loader=_Loader)
    return spec


def task_hash(protocol: str, task: str) -> str:
    """Digest of what the task's scores depend on: its YAML, comments and `SAYS_ONLY` left out, and `utils.py`.

    What only refuses items (`options`, `patterns`) changes no score that there is.
    """
    spec = read_task(protocol, task)
    spec["metadata"] = {key: value for key, value in spec["metadata"].items() if key not in SAYS_ONLY}
    return sha256(json.dumps(spec, sort_keys=True), TASKS / protocol / "utils.py")


def resolve(protocol: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The task's YAML with functions in place of their names; its metadata stays text."""
    return {key: _function(protocol, value) if _named(value) else value for key, value in spec.items()}


def _named(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(FUNCTION)


def _function(protocol: str, value: str) -> Callable[..., Any]:
    utils = importlib.import_module(f"prunegrid.tasks.{protocol}.utils")
    function: Callable[..., Any] = getattr(utils, value.removeprefix(FUNCTION))
    return function


class Items(NamedTuple):
    """The documents to ask, the digests that group them (None: each by itself), and how many there are of them.

    `available`: rows of the file; `eligible`: those that the protocol asks; `complete`: as many as it asks of the
    complete data set, None where that is not known.
    """

    docs: list[dict[str, Any]]
    clusters: list[str] | None
    available: int
    eligible: int
    complete: int | None


def read_items(path: Path, protocol: str, task: str, ref: DataRef, limit: int | None = None) -> Items:
    """The first `limit` items of `path` that the task asks, reduced to the fields that it reads.

    `ref` is the data set that the file is a copy of: its row and item counts are checked where the task knows them.
    """
    told = read_task(protocol, task)["metadata"]
    rows = read_records(path, repair(path))
    reduced = [_whole(row, told, f"{path}: item {i}") for i, row in enumerate(rows)]
    docs = list(filter(_function(protocol, told["only"]), reduced)) if "only" in told else reduced
    if not docs:
        raise PrunegridError(
            f"{path}: none of its {len(rows)} items is one that {protocol}'s {task} asks ({told['only']})"
        )
    complete = _complete(path, told.get("complete", []), ref, len(rows), len(docs))
    return Items(docs[:limit], _clusters(docs[:limit], told), len(rows), len(docs), complete)


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
