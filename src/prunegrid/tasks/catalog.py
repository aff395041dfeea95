"""The tasks by name: those of each protocol, and those from outside the package. No lm-eval here."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.tasks.outside import outside_tasks
from prunegrid.tasks.stock import PREFIX, stock_task
from prunegrid.tasks.task import Task
from prunegrid.tasks.yaml_files import read_yaml

TASKS = Path(__file__).parent
FORMER_NAMES = {
    ("squadv2", "cc5c08ac3717dcdfea62df4fedbf5ce4e93e33f332d3d49b67288bd901fdcf4d"): "squadv2_prunegrid",
}
"""(former name, digest) of a task: its name now. Records of the former name count as the task's."""


def current_name(name: Any, digest: Any) -> Any:
    """What a recorded task is called now: the `name` itself where it is none of `FORMER_NAMES`."""
    return FORMER_NAMES.get((name, digest), name)


def known_tasks(protocol: str) -> list[str]:
    """The protocol's task names, from its file names."""
    names = sorted(file.stem for file in (TASKS / protocol).glob("*.yaml"))
    if not names:
        protocols = ", ".join(sorted(file.parent.name for file in TASKS.glob("*/utils.py")))
        raise PrunegridError("evaluation.protocol", f"there is no {protocol!r}", f"give one of {protocols}")
    return names


def find_task(protocol: str, name: str, sources: Iterable[str] = ()) -> Task:
    """The task of that name: the protocol's, else one from outside, of `sources` or a package, else lm-eval's own.

    Raises `PrunegridError` if there is none. `sources` is `evaluation.tasks`: folders, or `module:function`.
    """
    if name.startswith(PREFIX):
        return stock_task(name)
    names = known_tasks(protocol)
    if name in names:
        folder = TASKS / protocol
        config = read_yaml(folder / f"{name}.yaml")
        code = [folder / "utils.py", *(TASKS / file for file in config["metadata"].get("code", []))]
        return Task(name, config, f"prunegrid.tasks.{protocol}", tuple(code))
    outside = outside_tasks(sources, names)
    if name in outside:
        return outside[name]
    try:
        return stock_task(name)
    except PrunegridError as error:
        known = ", ".join([*names, *outside])
        problem = f"has no task {name!r}, and {error.what}"
        raise PrunegridError(f"protocol {protocol}", problem, f"{error.fix} The protocol's: {known}") from None
