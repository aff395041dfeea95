"""Where this installation has the workflow's files, and which version it is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
IN_WHEEL = PACKAGE / "_workflow"  # setup.py puts it there
IN_CHECKOUT = PACKAGE.parents[1]
UNKNOWN = "0+unknown"


def workflow_files() -> Path:
    """The folder of `workflow/Snakefile`, `config.yaml` and `experiments/`: in the package, or the checkout's root."""
    return IN_WHEEL if IN_WHEEL.is_dir() else IN_CHECKOUT


@cache
def package_version() -> str:
    """The version of the last release's tag, or the development version behind it, as pip has recorded it."""
    try:
        return version("prunegrid")
    except PackageNotFoundError:  # a checkout on the path, which was not installed
        return UNKNOWN
