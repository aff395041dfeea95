"""Tasks from outside the package: folders of lm-eval's YAML, functions that return tasks, installed packages."""

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.plugins import find_folder, folder_package, import_module, load_entry_points
from prunegrid.tasks.lm_eval_format import complete, default_data
from prunegrid.tasks.task import FUNCTION, Task, is_function
from prunegrid.tasks.yaml_files import read_included

GROUP = "prunegrid.tasks"


def outside_tasks(sources: Iterable[str], taken: Iterable[str] = ()) -> dict[str, Task]:
    """The tasks of `sources` (folders, or `module:function`) and of installed packages' entry points, by name.

    Raises `PrunegridError` for a name that two of them have, or one of the `taken` names.
    """
    by_name: dict[str, Task] = {}
    origins = dict.fromkeys(taken, "the protocol")
    for origin, tasks in _origins(sources):
        for task in tasks:
            if task.name in origins:
                problem = f"has the task {task.name!r}, as {origins[task.name]} does"
                raise PrunegridError(origin, problem, "rename one of the two")
            by_name[task.name], origins[task.name] = task, origin
    return by_name


def _origins(sources: Iterable[str]) -> Iterator[tuple[str, list[Task]]]:
    for source in dict.fromkeys(sources):
        yield source, _function_tasks(source) if ":" in source else folder_tasks(find_folder(source))
    for entry, value in load_entry_points(GROUP):
        origin = f"entry point {entry.name} = {entry.value}"
        if isinstance(value, ModuleType):
            yield origin, [task for folder in value.__path__ for task in folder_tasks(Path(folder))]
        else:
            yield origin, _called(value, origin)


def source_files(sources: Iterable[str]) -> list[Path]:
    """The files that the tasks of `sources` are read from, relative to the working directory if they lie in it."""
    files: list[Path] = []
    for source in sources:
        if ":" in source:
            files.append(Path(inspect.getfile(import_module(source.partition(":")[0], source))))
        else:
            candidates = (file for file in find_folder(source).rglob("*") if file.suffix in ("", ".py", ".yaml"))
            files += [file for file in candidates if file.is_file()]
    here = Path.cwd()
    return sorted(file.relative_to(here) if file.is_relative_to(here) else file for file in files)


def folder_tasks(folder: Path) -> list[Task]:
    """The tasks of the YAML files in the folder and below. Files without the name of a task only serve includes."""
    folder, tasks = folder.resolve(), []
    for file in sorted(folder.rglob("*.yaml")):
        config = read_included(file, folder)
        if isinstance(config.get("task"), str):
            tasks.append(_task(config, str(file), folder_package(folder), _code(config, folder)))
    if not tasks:
        raise PrunegridError(folder, "has no YAML file with the key `task`", "write a task in lm-eval's format")
    return tasks


def _code(config: dict[str, Any], folder: Path) -> tuple[Path, ...]:
    """The Python files in the folders of the task's functions."""
    modules = (function.removeprefix(FUNCTION).split(".")[:-1] for function in _functions(config))
    files = ((folder / "/".join(module)).with_suffix(".py") for module in modules)
    return tuple(sorted({python for file in files if file.is_file() for python in file.parent.glob("*.py")}))


def _functions(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _functions(inner)
    elif is_function(value):
        yield value


def _function_tasks(reference: str) -> list[Task]:
    """The tasks that the function `module:function` returns: a configuration, or several by name."""
    module, _, name = reference.partition(":")
    function = getattr(import_module(module, reference), name, None)
    if function is None:
        raise PrunegridError(reference, f"module {module} has no {name!r}", "name a function of the module")
    return _called(function, reference)


def _called(function: Any, reference: str) -> list[Task]:
    try:
        result = function()
    except PrunegridError:
        raise
    except Exception as error:
        raise PrunegridError(reference, f"failed with {type(error).__name__}: {error}", "correct it") from error
    configs = [result] if isinstance(result, dict) and "task" in result else result
    if isinstance(configs, dict):
        configs = [{**config, "task": name} for name, config in configs.items() if isinstance(config, dict)]
    if not isinstance(configs, list) or not configs or not all(isinstance(config, dict) for config in configs):
        fix = "return a task's configuration with the key task, or several by name"
        raise PrunegridError(reference, f"returns {type(result).__name__}", fix)
    return [_python_task(config, reference) for config in configs]


def _python_task(config: dict[str, Any], reference: str) -> Task:
    """A task whose configuration may hold functions."""
    files: set[Path] = set()
    text = _named(config, reference, files)
    return _task(text, reference, "", tuple(sorted(files)))


def _named(value: Any, reference: str, files: set[Path]) -> Any:
    """`value` with `!function module.name` in place of functions, whose files are added to `files`."""
    if isinstance(value, dict):
        return {key: _named(inner, reference, files) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_named(inner, reference, files) for inner in value]
    if not callable(value):
        return value
    if not inspect.isfunction(value) or value.__qualname__ != value.__name__ or not value.__name__.isidentifier():
        problem = f"names {getattr(value, '__qualname__', value)!r}, which is not a function of a module"
        raise PrunegridError(reference, problem, "define it at the top of a module")
    files.add(Path(inspect.getfile(value)))
    return f"{FUNCTION}{value.__module__}.{value.__name__}"


def _task(config: dict[str, Any], origin: str, package: str, code: tuple[Path, ...]) -> Task:
    return Task(config["task"], complete(config, origin), package, code, default_data(config))
