"""SQuAD v2's questions that have an answer, and their measures."""

from typing import Any

from prunegrid.tasks.harness import utils


def answerable(doc: dict[str, Any]) -> bool:
    """Whether the question has an answer."""
    return any(utils.normalise(text) for text in doc["answers"]["text"])


def squad_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Best exact match and F1 over the right answers, in 0..1."""
    return {name: value for name, value in utils.squad_results(doc, results).items() if name in ("exact", "f1")}
