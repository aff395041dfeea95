"""Task YAML in lm-eval's format, read without lm-eval and without importing its functions."""

from pathlib import Path
from typing import Any

import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.tasks.task import FUNCTION


def read_yaml(file: Path) -> dict[str, Any]:
    """A task's configuration; a function is the text `!function module.name`."""
    config: dict[str, Any] = yaml.load(file.read_text(), Loader=_loader(""))
    return config


def read_included(file: Path, root: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The configuration with what it includes, as lm-eval merges them: the including file's keys replace the others.

    A function of a Python file beside the YAML is `!function module.name` with the module's place below `root`.
    """
    if file in seen:
        raise PrunegridError(file, "includes itself", "remove the include")
    config = _load(file, root)
    included = config.pop("include", [])
    merged: dict[str, Any] = {}
    for name in included if isinstance(included, list) else [included]:
        merged |= read_included((file.parent / str(name)).resolve(), root, (*seen, file))
    return merged | config


def _load(file: Path, root: Path) -> dict[str, Any]:
    """The keys of one file. Raises `PrunegridError` if it is not there, is not YAML or has no keys."""
    loader = _loader(_modules(file.parent, root), file.parent)
    try:
        config = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError) as error:
        raise PrunegridError(file, f"cannot be read ({error})", "correct the include, or the file") from None
    except yaml.YAMLError as error:
        raise PrunegridError(file, f"not YAML: {' '.join(str(error).split())}", "fix the YAML") from None
    if not isinstance(config, dict):
        raise PrunegridError(file, "holds no keys", "write a task in lm-eval's format, or remove the file")
    return config


def _modules(folder: Path, root: Path) -> str:
    """The prefix of the folder's modules, by their place below `root`."""
    if not folder.is_relative_to(root):
        raise PrunegridError(folder, f"lies outside of {root}", "copy what is included into the folder of tasks")
    return "".join(f"{part}." for part in folder.relative_to(root).parts)


def _loader(prefix: str, folder: Path | None = None) -> type[yaml.SafeLoader]:
    """YAML in which `!function utils.name` stays text; with `prefix`, where `folder` has the module."""

    class Loader(yaml.SafeLoader):
        pass

    def function(_: Any, node: Any) -> str:
        module = str(node.value).rpartition(".")[0]
        own = folder is not None and (folder / f"{module.replace('.', '/')}.py").is_file()
        return f"{FUNCTION}{prefix if own else ''}{node.value}"

    Loader.add_constructor("!function", function)
    return Loader
