"""Pruners from outside the package: `module:function` in a method, or the entry point group `prunegrid.pruners`.

Modules are searched for on the Python path and then in the directory that `snakemake` ran in: the working directory, or
the one in which a results folder was made that is read from elsewhere.
"""

import importlib
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.pruners.registry import Pruner

GROUP = "prunegrid.pruners"


def import_pruner(reference: str, registry: dict[str, Pruner], kind: str) -> Pruner:
    """The pruner that `module:function` names, registered by its decorator when the module is imported."""
    module_name, _, name = reference.partition(":")
    function = getattr(_import(module_name, reference), name, None)
    if function is None:
        raise PrunegridError(reference, f"module {module_name} has no {name!r}", "name a function of the module")
    for pruner in registry.values():
        if pruner.function is function:
            return pruner
    decorator = f"@{kind.replace(' ', '_')}(...)"
    raise PrunegridError(reference, f"is not registered as a {kind}", f"put {decorator} on the function")


def _import(name: str, reference: str):  # type: ignore[no-untyped-def]
    add_search_path(folder := Path.cwd())
    try:
        return importlib.import_module(name)
    except PrunegridError:
        raise
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]
        fix = f"put {name}.py into {folder} or install it" if absent else f"correct {name}"
        raise PrunegridError(reference, f"cannot import {name} ({type(error).__name__}: {error})", fix) from error


def add_search_path(folder: Path) -> None:
    """Search `folder` for modules as well, after the Python path."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


@cache
def load_installed() -> None:
    """Import the modules that installed packages list under the entry point group, once a process."""
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            finding, fix = f"cannot be loaded ({type(error).__name__}: {error})", "correct or uninstall its package"
            raise PrunegridError(f"entry point {entry.name} = {entry.value}", finding, fix) from error
