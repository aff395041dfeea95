"""A task behind the examples of a benchmark, which are the first line of the file of its items."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import repair
from prunegrid.data.example_rows import KEY
from prunegrid.evaluation.items import prepare_docs
from prunegrid.tasks.task import Task


def with_examples(task: Task, path: Path) -> Task:
    """The task, asked behind the examples of the file: rows in the task's own words, or a text as it is."""
    examples = _read(path)
    if isinstance(examples, str):
        literal = json.dumps(examples, ensure_ascii=False)  # a Jinja string, too; so no brace is read as Jinja
        return replace(task, config=task.config | {"description": f"{{{{ {literal} }}}}"})
    docs = prepare_docs(examples, task, f"{path}: example")
    return replace(task, config=task.config | {"num_fewshot": len(docs), "fewshot_config": _fewshot(task, docs)})


def _fewshot(task: Task, docs: list[dict[str, Any]]) -> dict[str, Any]:
    return (task.config.get("fewshot_config") or {}) | {"sampler": "first_n", "samples": docs}


def _read(path: Path) -> Any:
    with path.open(encoding="utf-8") as file:
        try:
            record = json.loads(file.readline())
        except ValueError:
            record = {}
    if not isinstance(record, dict) or record.keys() != {KEY}:
        raise PrunegridError(path, "has no examples in its first line", repair(path))
    return record[KEY]
