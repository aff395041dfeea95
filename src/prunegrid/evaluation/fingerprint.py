"""What an evaluation that ran now would write into its record, whatever the model: to compare records with."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prunegrid.core.versions import STEP
from prunegrid.evaluation.engines import TRANSFORMERS, engine_entry
from prunegrid.tasks.catalog import task_hash

SCHEMA = 2
PACKAGES = ("lm_eval", "transformers", "torch", "peft", "datasets")


def code_fingerprint(protocol: str, task: str, engine: str = TRANSFORMERS) -> dict[str, Any]:
    """The record's schema, step, digest of the task, engine, and versions of those packages that are installed here."""
    own = {"schema": SCHEMA, "step": STEP["evaluate"], "task_hash": task_hash(protocol, task), **engine_entry(engine)}
    return {**own, "versions": _installed(dict.fromkeys([*PACKAGES, engine]))}


def _installed(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
