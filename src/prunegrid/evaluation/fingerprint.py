"""The part of an evaluation's record that depends on the code alone; a record with another value is stale."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prunegrid.core.versions import STEP
from prunegrid.experiment.names import TRANSFORMERS
from prunegrid.tasks.task import Task

SCHEMA = 2
PACKAGES = ("lm_eval", "transformers", "torch", "peft", "datasets")


def code_fingerprint(task: Task, engine: str = TRANSFORMERS) -> dict[str, Any]:
    """The record's schema, the step's version, the task's digest, the engine, and versions of installed packages."""
    return {
        "schema": SCHEMA,
        "step": STEP["evaluate"],
        "task_hash": task.digest,
        **({} if engine == TRANSFORMERS else {"engine": engine}),  # so records of version 0.1 stay valid
        "versions": _installed_versions(dict.fromkeys([*PACKAGES, engine])),
    }


def _installed_versions(packages: Iterable[str]) -> dict[str, str]:
    versions = {package: installed_version(package) for package in packages}
    return {package: version for package, version in versions.items() if version}


def installed_version(package: str) -> str | None:
    """None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
