"""Runs a benchmark that is one of lm-eval's own tasks or groups, with its examples, chat template, metrics."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from lm_eval.evaluator import evaluate

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import sha256
from prunegrid.evaluation import stock
from prunegrid.evaluation.harness import check_length, configure_lm_eval
from prunegrid.evaluation.records import item_texts
from prunegrid.evaluation.stock_items import StoredSplits
from prunegrid.tasks.stock import StockTask


def run_stock(lm: Any, name: str, task: StockTask, docs: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """What `harness.run` gives, for the items `docs` of the stock benchmark's file `path`; also `clusters`, and
    `subtasks`, the score in 0..1 and the number of items of each task of a group.

    A sample's `doc_id` is its place in `docs`.
    """
    configure_lm_eval()
    loaded = stock.load(task, StoredSplits(path).open, task.metadata["folders"])
    places = {(doc["task"], doc["doc_id"]): place for place, doc in enumerate(docs)}
    chosen: dict[str, set[int]] = defaultdict(set)
    for doc in docs:
        chosen[doc["task"]].add(doc["doc_id"])
    tasks = {subtask: each for subtask, each in loaded.tasks.items() if chosen[subtask]}
    for subtask, each in tasks.items():
        each.chosen = frozenset(chosen[subtask])
        if each.OUTPUT_TYPE == "generate_until":
            check_length(name, stock.greedy(subtask, each.config.generation_kwargs), lm.max_length)
    results = _evaluate(lm, name, task, tasks, 1 + max(doc["doc_id"] for doc in docs))
    samples = [
        sample
        | {"doc_id": places[subtask, sample["doc_id"]]}
        | item_texts(tasks[subtask], sample["doc"], sample["target"])
        for subtask in tasks
        for sample in results["samples"][subtask]
    ]
    metric, filter_name = task.metadata["table_metric"], task.metadata["table_filter"]
    if missing := sum(metric not in sample for sample in samples):
        problem = f"lm-eval gives {missing} of {len(samples)} items no {metric}"
        raise PrunegridError(name, problem, "set metric to one that every item has")
    truncated = {sample["doc_id"] for sample in samples for args in sample["arguments"] if lm.is_truncated(*args)}
    subtasks = {
        subtask: {"score": results["results"][subtask][f"{metric},{filter_name}"], "n_items": len(chosen[subtask])}
        for subtask in tasks
    }
    return {
        "metrics": stock.group_metrics(task.name, tasks, results["results"]),
        "samples": samples,
        "n_truncated": len(truncated),
        "clusters": _clusters(samples, task.settings.get("cluster", [])),
        "subtasks": subtasks if len(loaded.tasks) > 1 else {},
    }


def _evaluate(lm: Any, name: str, task: StockTask, tasks: dict[str, Any], limit: int) -> Any:
    chat = bool(task.settings.get("chat_template"))
    if chat and lm.tokenizer.chat_template is None:
        problem = "the model's tokenizer has no chat template"
        raise PrunegridError(f"{name}: chat_template", problem, "set it to false, or give the model a chat_template")
    lm.truncated.clear()
    try:
        return evaluate(
            lm,
            {"tasks": tasks},
            limit=limit,
            log_samples=True,
            system_instruction=task.settings.get("system_prompt"),
            apply_chat_template=chat,
            fewshot_as_multiturn=True,  # as lm-eval's command; without a chat template it changes nothing
        )
    except PrunegridError as error:
        raise PrunegridError(f"{name}: {error.where}", error.what, error.fix) from None
    except AssertionError as error:  # lm-eval's own, of examples: too few, or an answer that is no text
        fix = "lower num_fewshot, or check its data"
        raise PrunegridError(f"{name}: lm-eval's {task.name}", str(error), fix) from None


def _clusters(samples: list[dict[str, Any]], fields: list[str]) -> list[str] | None:
    """A digest per item of these fields of it; None without fields."""
    if not fields:
        return None
    clusters = {}
    for sample in samples:
        if unknown := [field for field in fields if field not in sample["doc"]]:
            problem = f"an item has no {', '.join(unknown)}, only {', '.join(sample['doc'])}"
            raise PrunegridError("cluster", problem, "name fields that it has")
        values = json.dumps([sample["doc"][field] for field in fields], default=str)
        clusters[sample["doc_id"]] = sha256(values)
    return [clusters[place] for place in range(len(clusters))]
