"""The two files of an evaluated benchmark: its record's scores and its table of items, from one run of lm-eval."""

import json
import math
import statistics
from typing import Any

import pyarrow as pa

from prunegrid.core.errors import PrunegridError

REPORT = "this is a fault of prunegrid or of its lm-eval version: report it"
TEXTS = ("question", "gold")
ITEM_COLUMNS = pa.schema(
    {
        "doc_id": pa.int64(),
        "doc_hash": pa.string(),
        "prompt_hash": pa.string(),
        "target_hash": pa.string(),
        "filter": pa.string(),
        "cluster": pa.string(),
        "question": pa.string(),
        "gold": pa.string(),
        "response": pa.string(),
        "value": pa.float64(),
    }
)
SAMPLE_COLUMNS = pa.schema({"n_samples": pa.int64(), "value_variance": pa.float64(), "draws": pa.list_(pa.float64())})
"""Further columns where each item was asked several times."""


def record_scores(name: str, metadata: dict[str, Any], n_items: int, run: dict[str, Any]) -> dict[str, Any]:
    """The record's scores, in percent, checked: every item came back once, and their mean is the score."""
    metric, filter_name = metadata["table_metric"], metadata["table_filter"]
    metrics = _percent(run["metrics"])
    scores = metrics[f"{metric},{filter_name}"]
    rows = [sample for sample in run["samples"] if sample["filter"] == filter_name]
    if sorted(row["doc_id"] for row in rows) != list(range(n_items)):
        raise PrunegridError(name, f"lm-eval returned {len(rows)} items of {n_items}", REPORT)
    values = [float(row[metric]) for row in rows]
    if outside := [value for value in values if not 0 <= value <= 1]:
        fix = "choose a metric between 0 and 1, such as accuracy or F1"
        raise PrunegridError(name, f"{metric} of an item is {outside[0]}, not within 0 and 1", fix)
    mean = 100 * statistics.fmean(values)
    if abs(scores["score"] - mean) > 1e-6:
        raise PrunegridError(name, f"lm-eval's {metric} is {scores['score']}, the mean of its items {mean}", REPORT)
    return {
        "metric": metric,
        "filter": filter_name,
        **scores,
        "n_items": len(rows),
        "n_truncated": run["n_truncated"],
        "metrics": metrics,
        **_subtasks(run.get("subtasks")),
        **({"sampled": True} if run.get("sampled") else {}),
        **_sampling_se(rows),
    }


def _sampling_se(rows: list[dict[str, Any]]) -> dict[str, float]:
    """In points, how far the score would vary if the same model answered the same items anew, as `sampling_se`."""
    if "n_samples" not in rows[0]:
        return {}
    variance = sum(row["value_variance"] / row["n_samples"] for row in rows)
    return {"sampling_se": 100 * math.sqrt(variance) / len(rows)}


def _subtasks(subtasks: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    """The scores in percent of the tasks of a group, as the record's `subtasks`."""
    scores = {name: each | {"score": 100 * each["score"]} for name, each in (subtasks or {}).items()}
    return {"subtasks": scores} if scores else {}


def _percent(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """lm-eval's `acc,none`, `acc_stderr,none` as {"acc,none": {score, stderr}}; stderr null for one item."""
    metrics: dict[str, dict[str, Any]] = {}
    for key, value in results.items():
        metric, comma, filter_name = key.partition(",")
        if comma and not metric.endswith("_stderr"):
            stderr = results[f"{metric}_stderr,{filter_name}"]
            has_stderr = not isinstance(stderr, str) and math.isfinite(stderr)
            metrics[key] = {"score": 100 * float(value), "stderr": 100 * float(stderr) if has_stderr else None}
    return metrics


def item_table(
    samples: list[dict[str, Any]], clusters: list[str] | None, metric: str, texts: bool = True, answers: bool = True
) -> pa.Table:
    """One row per item and filter; `value` is the table's metric for that item, 0..1. `TEXTS` only if `texts`.

    Without `answers` each response is empty. Of several answers to an item `value` is the mean, and `SAMPLE_COLUMNS`
    are there.
    """
    further = SAMPLE_COLUMNS if "n_samples" in samples[0] else ()
    schema = pa.schema([column for column in (*ITEM_COLUMNS, *further) if texts or column.name not in TEXTS])
    rows = []
    for sample in samples:
        columns = sample | {
            "cluster": clusters[sample["doc_id"]] if clusters else sample["doc_hash"],
            "response": _response(sample["filtered_resps"]) if answers else "",
            "value": float(sample[metric]),
        }
        rows.append({key: columns[key] for key in schema.names})
    return pa.Table.from_pylist(rows, schema=schema)


def item_texts(task: Any, doc: dict[str, Any], target: Any) -> dict[str, str]:
    """`TEXTS` of an item of lm-eval's `task`: what it asks, without examples, and the right answer.

    Of several right answers a JSON list; so is the question where every option makes a prompt of its own.
    """
    question, options = task.doc_to_text(doc), task.doc_to_choice(doc) if task.config.doc_to_choice else None
    if isinstance(question, int) and options:
        return {"question": json.dumps(options, ensure_ascii=False), "gold": options[question]}
    targets = target if isinstance(target, list | tuple) else [target]
    named = dict(enumerate(options or ()))
    golds = [str(named.get(gold, gold) if isinstance(gold, int) else gold) for gold in targets]
    return {"question": str(question), "gold": golds[0] if len(golds) == 1 else json.dumps(golds, ensure_ascii=False)}


def _response(filtered: list[Any]) -> str:
    """The filtered answer, or a JSON list of several.

    Of options a JSON list of one number in nats for each: its log-probability or its NLL.
    """
    if isinstance(filtered[0], str) and len(filtered) > 1:
        return json.dumps(filtered, ensure_ascii=False)
    if isinstance(filtered[0], str):
        return filtered[0]
    # lm-eval's log-probability comes with whether greedy decoding would give the option
    return json.dumps([float(value if isinstance(value, float) else value[0]) for value in filtered])
