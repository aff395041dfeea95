"""lm-eval's own tasks, groups and tags, by name. lm-eval is not imported: names are read from its files, in half a
second; its tasks are built where they are asked (`prunegrid.evaluation.stock`)."""

import importlib.util
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import repair, sha256
from prunegrid.core.text import did_you_mean
from prunegrid.tasks.task import Task

PREFIX = "lm-eval:"
"""Before a name: the task is lm-eval's, even if a protocol or a folder has one of that name."""
DEFINITION = re.compile(
    rb"""^["']?(?P<key>task|group|tag)["']?:[ \t]*(?P<value>[^\n#]*)(?P<list>(?:\n[ \t]*-[ \t]+[^\n:]+)*)""", re.M
)
HEADER = "lm_eval"
"""The key of lm-eval's version in the first line of a file of items."""
SETTINGS = ("metric", "num_fewshot", "system_prompt", "chat_template")
"""The keys of a benchmark, beside `gen_kwargs` and `cluster`, that say how a stock task is asked and scored."""


@dataclass(frozen=True)
class StockTask(Task):
    """A task, group or tag of lm-eval, asked with a benchmark's `settings` (`SETTINGS`, `gen_kwargs`, `cluster`).

    Its items' file says what lm-eval's configuration is: version, metric, splits.
    """

    settings: dict[str, Any] = field(default_factory=dict)

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """The task asked in this way."""
        kwargs = {"generation_kwargs": settings["gen_kwargs"]} if "gen_kwargs" in settings else {}
        return replace(self, config=self.config | kwargs, settings=dict(settings))

    @property
    def digest(self) -> str:
        """SHA-256 of what scores depend on: the settings, lm-eval's version, and the files of the task's folder."""
        asked = json.dumps({"task": self.name, "lm_eval": version("lm_eval"), **self.settings}, sort_keys=True)
        return sha256(asked, *code_files(self.name))


def stock_task(name: str) -> StockTask:
    """lm-eval's task, group or tag of that name, with or without `PREFIX`; a `PrunegridError` if it has none."""
    bare = name.removeprefix(PREFIX)
    if _folder() is None:
        raise PrunegridError("task", "lm-eval is not installed", "run pip install 'prunegrid[eval]'")
    # most tasks are in a folder of their name or its first part, which is quicker to read than all
    if not any(part and bare in definitions(part) for part in (bare, bare.split("_")[0], ".")):
        fix = did_you_mean(bare, definitions(), count=3) or "`lm_eval ls tasks` lists its names."
        raise PrunegridError("task", f"lm-eval {version('lm_eval')} has none of that name", fix)
    return StockTask(bare, {"task": bare, "metadata": {}})


def read_header(path: Path) -> dict[str, Any]:
    """The first line of the file of a benchmark's items, which says what lm-eval's configuration is."""
    with path.open(encoding="utf-8") as file:
        try:
            header: dict[str, Any] = json.loads(file.readline())
        except ValueError:
            header = {}
    if HEADER not in header:
        raise PrunegridError(path, "is not a file of lm-eval's items", repair(path))
    return header


@cache
def definitions(part: str = ".") -> Mapping[str, list[Path]]:
    """The files that define each name of lm-eval's (a tag: those that have it), in all its folders or in one."""
    names: dict[str, list[Path]] = defaultdict(list)
    for file in filter(_is_configuration, _files((_folder() or Path()) / part)):
        for key, value, lines in DEFINITION.findall(file.read_bytes()):
            values = [value] if key != b"tag" else [*value.strip(b"[] \t").split(b","), *lines.splitlines()]
            for name in filter(None, (value.decode().strip(" \t\r-\"'") for value in values)):
                names[name].append(file)
    return dict(names)


def code_files(name: str) -> list[Path]:
    """The configuration and code of the folders of lm-eval's tasks that define `name`."""
    root = _folder()
    assert root
    folders = sorted({root / file.relative_to(root).parts[0] for file in definitions().get(name, [])})
    return [file for folder in folders for file in _files(folder) if _is_configuration(file) or file.suffix == ".py"]


def _is_configuration(file: Path) -> bool:
    """A YAML, or a template that others include, which has no suffix."""
    return file.suffix in (".yaml", "")


def _files(folder: Path) -> list[Path]:
    """All files below the folder; `Path.rglob` takes three times as long."""
    return [Path(parent, name) for parent, _, names in sorted(os.walk(folder)) for name in sorted(names)]


def _folder() -> Path | None:
    """The folder of lm-eval's tasks, found without an import."""
    spec = importlib.util.find_spec("lm_eval")
    return Path(spec.submodule_search_locations[0]) / "tasks" if spec and spec.submodule_search_locations else None
