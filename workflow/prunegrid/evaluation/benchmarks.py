"""What an evaluation asks: a protocol's tasks (YAML) and a benchmark's items (a local file). No lm-eval here.

Items are reduced to the fields that the task reads, so an item's hash depends neither on the file's format
nor on columns that nobody reads.
"""

import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from prunegrid.errors import PrunegridError
from prunegrid.io import read_records, sha256

TASKS = Path(__file__).parents[1] / "tasks"
FUNCTION = "!function utils."


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


def fields(spec: dict[str, Any]) -> list[str]:
    """The fields that the task reads from an item, dotted where nested."""
    return list(spec["metadata"]["fields"])


def task_hash(protocol: str, task: str) -> str:
    """Digest of what the task's scores depend on: its YAML, comments left out, and `utils.py`."""
    return sha256(json.dumps(read_task(protocol, task), sort_keys=True), TASKS / protocol / "utils.py")


def resolve(protocol: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The task's YAML with functions in place of their names."""
    utils = importlib.import_module(f"prunegrid.tasks.{protocol}.utils")

    def function(value: Any) -> Any:
        named = isinstance(value, str) and value.startswith(FUNCTION)
        return getattr(utils, value.removeprefix(FUNCTION)) if named else value

    return {key: function(value) for key, value in spec.items()}


class Items(NamedTuple):
    """The documents to ask, and how many the file has."""

    docs: list[dict[str, Any]]
    available: int


def read_items(path: Path, wanted: list[str], limit: int | None = None) -> Items:
    """The first `limit` items of `path`, reduced to the fields `wanted` (`answer.aliases` where nested)."""
    rows = read_records(path)
    return Items([_reduce(row, wanted, f"{path}: item {i}") for i, row in enumerate(rows[:limit])], len(rows))


def _reduce(row: dict[str, Any], wanted: list[str], where: str) -> dict[str, Any]:
    """Copy the wanted fields in the task's order; a missing (or null) one is an error naming those found."""
    doc: dict[str, Any] = {}
    for field in wanted:
        *outer, last = field.split(".")
        source: Any = row
        target = doc
        for part in outer:
            source = source.get(part) if isinstance(source, dict) else None
            target = target.setdefault(part, {})
        if not isinstance(source, dict) or source.get(last) is None:
            raise PrunegridError(f"{where} has no {field}; the task reads {', '.join(wanted)}; found: {_names(row)}")
        target[last] = source[last]
    return doc


def _names(row: dict[str, Any]) -> str:
    """The fields that have a value, dotted one level down."""
    names = []
    for key, value in row.items():
        inner = value if isinstance(value, dict) else {"": value}
        names += [f"{key}.{name}".rstrip(".") for name, item in inner.items() if item is not None]
    return ", ".join(names) or "nothing"
