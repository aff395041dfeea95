"""Pruners from outside the package: `module:function` in a method, or the entry point group `prunegrid.pruners`.

`prunegrid.core.plugins` says where modules are searched for.
"""

from functools import cache

from prunegrid.core import plugins
from prunegrid.core.errors import PrunegridError
from prunegrid.pruners.registry import Pruner

GROUP = "prunegrid.pruners"


def import_pruner(reference: str, registry: dict[str, Pruner], kind: str) -> Pruner:
    """The pruner that `module:function` names, registered by its decorator when the module is imported."""
    module_name, _, name = reference.partition(":")
    function = getattr(plugins.import_module(module_name, reference), name, None)
    if function is None:
        raise PrunegridError(reference, f"module {module_name} has no {name!r}", "name a function of the module")
    for pruner in registry.values():
        if pruner.function is function:
            return pruner
    decorator = f"@{kind.replace(' ', '_')}(...)"
    raise PrunegridError(reference, f"is not registered as a {kind}", f"put {decorator} on the function")


@cache
def load_installed() -> None:
    """Import the modules that installed packages list under the entry point group, once a process."""
    list(plugins.load_entry_points(GROUP))
