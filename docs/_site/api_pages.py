"""The pages of the Python interface: which names are on which, for mkdocstrings, which reads their docstrings."""

import inspect
from collections.abc import Iterable

import prunegrid
from prunegrid import pruners

FOLDER = "reference/api"
OPENING = {
    "index": """# Python interface

Call every step from Python: the names of `import prunegrid as pg`, from their docstrings. [Python](../python.md) shows
them at work, and [the interface of pruners](pruners.md) has what a pruner of your own uses.
""",
    "pruners": """# Interface of pruners

Write a pruner: the names of `prunegrid.pruners`, from their docstrings. [Your own pruner](../pruners.md#your-own) shows
where they belong.
""",
}


def pages() -> dict[str, str]:
    """Each page's text by its name."""
    names = {"index": _paths(prunegrid, prunegrid.__all__), "pruners": _paths(pruners, pruners.__all__)}
    return {f"{FOLDER}/{name}.md": OPENING[name] + "".join(map(_directive, paths)) for name, paths in names.items()}


def _paths(module: object, names: Iterable[str]) -> list[str]:
    """Where the functions and classes among the names are defined."""
    values = [getattr(module, name) for name in names]
    return [
        f"{value.__module__}.{value.__qualname__}"
        for value in values
        if inspect.isroutine(value) or inspect.isclass(value)
    ]


def _directive(path: str) -> str:
    return f"\n::: {path}\n"
