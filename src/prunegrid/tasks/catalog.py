"""The tasks of each protocol, by name: YAML files and their functions. No lm-eval here."""

from pathlib import Path
from typing import Any

import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.tasks.task import FUNCTION, Task

TASKS = Path(__file__).parent


class _Loader(yaml.SafeLoader):
    """YAML in which `!function utils.name` stays text, so that reading a task imports no functions."""


_Loader.add_constructor("!function", lambda _, node: f"{FUNCTION}{node.value}")


def known_tasks(protocol: str) -> list[str]:
    """The protocol's task names, from its file names."""
    names = sorted(file.stem for file in (TASKS / protocol).glob("*.yaml"))
    if not names:
        protocols = ", ".join(sorted(file.parent.name for file in TASKS.glob("*/utils.py")))
        raise PrunegridError("evaluation.protocol", f"there is no {protocol!r}", f"give one of {protocols}")
    return names


def find_task(protocol: str, name: str) -> Task:
    """The protocol's task of that name; `PrunegridError` if there is none."""
    names = known_tasks(protocol)
    if name not in names:
        raise PrunegridError(f"protocol {protocol}", f"has no task {name!r}", f"give one of {', '.join(names)}")
    folder = TASKS / protocol
    return Task(name, read_yaml(folder / f"{name}.yaml"), f"prunegrid.tasks.{protocol}", (folder / "utils.py",))


def read_yaml(file: Path) -> dict[str, Any]:
    """A task's configuration; a function is the text `!function module.name`."""
    config: dict[str, Any] = yaml.load(file.read_text(), Loader=_Loader)
    return config
