"""What an evaluation that ran now would write into its record, whatever the model: to compare records with."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prunegrid.evaluation.benchmarks import task_hash
from prunegrid.versions import STEP

SCHEMA = 2
PACKAGES = ("lm_eval", "transformers", "torch", "peft", "datasets")


def of_now(protocol: str, task: str) -> dict[str, Any]:
    """The record's schema, step, digest of the task, and versions of those of `PACKAGES` that are installed here."""
    own = {"schema": SCHEMA, "step": STEP["evaluate"], "task_hash": task_hash(protocol, task)}
    return {**own, "versions": _installed()}


def _installed() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
