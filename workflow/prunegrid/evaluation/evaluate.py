"""Evaluation: one model, all benchmarks, one process; a JSON of scores and a Parquet of items per benchmark.

The rule `evaluate`, or `evaluate(...)` in Python. Tasks are YAML in `tasks/<protocol>`; docs/evaluation.md
describes them and both files. Nothing heavy is imported until a model is needed.
"""

import math
import os
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from prunegrid.errors import PrunegridError
from prunegrid.evaluation.benchmarks import Items, fields, known_tasks, read_items, read_task, resolve, task_hash
from prunegrid.io import sha256, write_json, write_parquet
from prunegrid.sections import Benchmark

__all__ = ["evaluate", "known_tasks", "load_model"]

SCHEMA = 1
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
PACKAGES = ("lm_eval", "transformers", "torch", "datasets")
ITEM_COLUMNS = pa.schema(
    {
        "doc_id": pa.int64(),
        "doc_hash": pa.string(),
        "prompt_hash": pa.string(),
        "target_hash": pa.string(),
        "filter": pa.string(),
        "value": pa.float64(),
    }
)


def load_model(model_dir: Path, adapter_dir: Path | None, dtype: str, device: str) -> Any:
    """The model, with the adapter merged in where there is one, set to plain greedy decoding.

    Of generation_config.json only the token ids stay: it may ask for sampling or a repetition penalty.
    """
    from transformers import GenerationConfig

    from prunegrid import models

    model = models.load_model(model_dir, dtype, device)
    if adapter_dir is not None:
        model = models.with_adapter(model, adapter_dir)
    ids = ("bos_token_id", "eos_token_id", "pad_token_id")
    model.generation_config = GenerationConfig(**{key: getattr(model.generation_config, key) for key in ids})
    return model.eval()


def evaluate(
    model_dir: Path,
    out_dir: Path,
    *,
    benchmarks: dict[str, Benchmark],
    data: dict[str, Path],
    adapter_dir: Path | None = None,
    protocol: str = "harness",
    batch_tokens: int = 8192,
    dtype: str = "float32",
    device: str = "cpu",
    seed: int = 0,
    digests: dict[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Ask the model all benchmarks; write `out_dir/<benchmark>.{parquet,json}`, return the JSON by benchmark.

    `data` names each benchmark's items (local JSONL or Parquet with the hub's fields). Tasks and items are
    checked before the model is loaded. The model is loaded once and asked benchmark by benchmark: limits and
    seconds are a benchmark's own, and its scores do not depend on which others are asked.
    """
    if missing := sorted(set(benchmarks) - set(data)):
        raise PrunegridError(f"no data file for benchmark {', '.join(missing)}")
    questions = [_question(protocol, name, benchmark, data[name]) for name, benchmark in benchmarks.items()]
    os.environ |= OFFLINE
    from prunegrid.evaluation import harness

    lm = harness.wrap(load_model(model_dir, adapter_dir, dtype, device), model_dir, batch_tokens)
    setting = {"batch_tokens": batch_tokens, "dtype": dtype, "device": device, "seed": seed}
    records = {}
    for question in questions:
        start = time.perf_counter()
        run = harness.run(lm, question.name, resolve(protocol, question.spec), question.items.docs, seed)
        record = _scores(question, run) | question.origin | setting | {"digests": digests or {}}
        record["seconds"] = round(time.perf_counter() - start, 3)
        write_parquet(out_dir / f"{question.name}.parquet", _item_table(run["samples"], record["metric"]))
        write_json(out_dir / f"{question.name}.json", record)
        records[question.name] = record
    return records


class Question(NamedTuple):
    """A benchmark made ready: its task's YAML, its items, and what the record says of both."""

    name: str
    spec: dict[str, Any]
    items: Items
    origin: dict[str, Any]


def _question(protocol: str, name: str, benchmark: Benchmark, data: Path) -> Question:
    spec = read_task(protocol, benchmark.task)
    origin = {
        "protocol": protocol,
        "task": benchmark.task,
        "task_version": spec["metadata"]["version"],
        "task_hash": task_hash(protocol, benchmark.task),
        "limit": benchmark.limit,
        "versions": {package: version(package) for package in PACKAGES},
    }
    items = read_items(data, fields(spec), benchmark.limit)
    return Question(name, spec, items, origin | {"data_hash": sha256(data)})


def _scores(question: Question, run: dict[str, Any]) -> dict[str, Any]:
    """The record's scores, in percent, checked against the items: none lost, none twice, the mean theirs."""
    name, asked = question.name, len(question.items.docs)
    metric, chosen = (question.spec["metadata"][key] for key in ("table_metric", "table_filter"))
    metrics = _percent(run["metrics"])
    shown = metrics[f"{metric},{chosen}"]
    rows = [sample for sample in run["samples"] if sample["filter"] == chosen]
    if sorted(row["doc_id"] for row in rows) != list(range(asked)):
        raise PrunegridError(f"{name}: {asked} items were asked, {len(rows)} came back from lm-eval")
    mean = 100 * statistics.fmean(float(row[metric]) for row in rows)
    if abs(shown["score"] - mean) > 1e-6:
        raise PrunegridError(f"{name}: lm-eval's {metric} is {shown['score']}, the mean of its items {mean}")
    return {
        "schema": SCHEMA,
        "benchmark": name,
        "metric": metric,
        "filter": chosen,
        **shown,
        "n_items": len(rows),
        "n_available": question.items.available,
        "n_truncated": run["n_truncated"],
        "metrics": metrics,
    }


def _percent(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """lm-eval's `acc,none`, `acc_stderr,none` as {"acc,none": {score, stderr}}; stderr null for one item."""
    metrics: dict[str, dict[str, Any]] = {}
    for key, value in results.items():
        metric, comma, chosen = key.partition(",")
        if comma and not metric.endswith("_stderr"):
            stderr = results[f"{metric}_stderr,{chosen}"]
            known = not isinstance(stderr, str) and math.isfinite(stderr)
            metrics[key] = {"score": 100 * float(value), "stderr": 100 * float(stderr) if known else None}
    return metrics


def _item_table(samples: list[dict[str, Any]], metric: str) -> pa.Table:
    """One row per item and filter; `value` is the table's metric for that item, 0..1."""
    rows = [{**sample, "value": float(sample[metric])} for sample in samples]
    return pa.Table.from_pylist([{key: row[key] for key in ITEM_COLUMNS.names} for row in rows], schema=ITEM_COLUMNS)
