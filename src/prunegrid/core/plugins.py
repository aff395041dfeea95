"""Code from outside the package: modules by name, and the entry points of installed packages.

Modules and folders are searched for in the working directory, or in the one in which a results folder was made that is
read from elsewhere; modules on the Python path first.
"""

import hashlib
import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from prunegrid.core.errors import PrunegridError

_folders: dict[Path, None] = {}


def import_module(name: str, reference: str) -> ModuleType:
    """The module `name`, for `reference`, which errors name."""
    _add_module_path(folder := Path.cwd())
    try:
        return importlib.import_module(name)
    except PrunegridError:
        raise
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]
        fix = f"put {name}.py into {folder} or install it" if absent else f"correct {name}"
        raise PrunegridError(reference, f"cannot import {name} ({type(error).__name__}: {error})", fix) from error


def add_search_path(folder: Path) -> None:
    """Search `folder` as well: for modules, after the Python path, and for folders of tasks."""
    _folders[folder] = None
    _add_module_path(folder)


def _add_module_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def find_folder(name: str) -> Path:
    """The folder `name`, which is absolute or lies in a folder that is searched."""
    places = [folder / name for folder in (Path.cwd(), *_folders)]
    for place in places:
        if place.is_dir():
            return place.resolve()
    raise PrunegridError(name, f"is not a folder in {places[0].parent}", "correct the path")


def load_entry_points(group: str) -> Iterator[tuple[EntryPoint, Any]]:
    """(entry point, what it names) of the group, of all installed packages."""
    for entry in entry_points(group=group):
        try:
            yield entry, entry.load()
        except Exception as error:
            finding, fix = f"cannot be loaded ({type(error).__name__}: {error})", "correct or uninstall its package"
            raise PrunegridError(f"entry point {entry.name} = {entry.value}", finding, fix) from error


def folder_package(folder: Path) -> str:
    """The name of a package of the Python files in the folder and below, which no other folder's modules can hide."""
    name = f"prunegrid_folder_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name
