"""The tasks of each protocol: their YAML, their functions, their digest. No lm-eval here."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import sha256

TASKS = Path(__file__).parent
FUNCTION = "!function utils."
UNHASHED = ("stock", "complete", "options", "patterns", "tokens")
"""Metadata on which no score depends: descriptions, and checks that only reject items."""


class _Loader(yaml.SafeLoader):
    """YAML in which `!function utils.name` stays text, so that reading a task imports no functions."""


_Loader.add_constructor("!function", lambda _, node: f"!function {node.value}")


def known_tasks(protocol: str) -> list[str]:
    """The protocol's task names, from its file names."""
    names = sorted(file.stem for file in (TASKS / protocol).glob("*.yaml"))
    if not names:
        protocols = ", ".join(sorted(file.parent.name for file in TASKS.glob("*/utils.py")))
        raise PrunegridError("evaluation.protocol", f"there is no {protocol!r}", f"give one of {protocols}")
    return names


def read_task(protocol: str, task: str) -> dict[str, Any]:
    """The task's YAML; a function is the text `!function utils.name`."""
    names = known_tasks(protocol)
    if task not in names:
        raise PrunegridError(f"protocol {protocol}", f"has no task {task!r}", f"give one of {', '.join(names)}")
    spec: dict[str, Any] = yaml.load((TASKS / protocol / f"{task}.yaml").read_text(), Loader=_Loader)
    return spec


def task_hash(protocol: str, task: str) -> str:
    """Digest of what the task's scores depend on: its YAML without comments and `UNHASHED` metadata, and `utils.py`."""
    spec = read_task(protocol, task)
    spec["metadata"] = {key: value for key, value in spec["metadata"].items() if key not in UNHASHED}
    return sha256(json.dumps(spec, sort_keys=True), TASKS / protocol / "utils.py")


def resolve(protocol: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The task's YAML with functions in place of their names; its metadata stays text."""
    return {key: task_function(protocol, value) if _is_function(value) else value for key, value in spec.items()}


def _is_function(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(FUNCTION)


def task_function(protocol: str, value: str) -> Callable[..., Any]:
    """The function that `!function utils.name` stands for."""
    utils = importlib.import_module(f"prunegrid.tasks.{protocol}.utils")
    function: Callable[..., Any] = getattr(utils, value.removeprefix(FUNCTION))
    return function
