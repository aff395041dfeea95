"""Evaluation: one model, all benchmarks, one process; a JSON of scores and a Parquet of items per benchmark.

The rule `evaluate`, or `evaluate(...)` in Python. Tasks are YAML in `tasks/<protocol>`; docs/evaluation.md
describes them and both files. Nothing heavy is imported until a model is needed, and none is where every
benchmark is `kept` from an earlier run.
"""

import json
import math
import os
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import sha256
from prunegrid.evaluation.cache import EvaluationCache
from prunegrid.evaluation.engines import TRANSFORMERS, VLLM, recorded_engine, require_installed
from prunegrid.evaluation.fingerprint import code_fingerprint
from prunegrid.evaluation.items import BenchmarkItems, read_items
from prunegrid.experiment.sections import Benchmark
from prunegrid.tasks.catalog import known_tasks, read_task, resolve

__all__ = ["evaluate", "known_tasks", "load_model"]

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # its engine's own process would import the caller's script again
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
ITEM_COLUMNS = pa.schema(
    {
        "doc_id": pa.int64(),
        "doc_hash": pa.string(),
        "prompt_hash": pa.string(),
        "target_hash": pa.string(),
        "filter": pa.string(),
        "cluster": pa.string(),
        "response": pa.string(),
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
    engine: str = TRANSFORMERS,
    jobs_per_gpu: int = 1,
) -> dict[str, dict[str, Any]]:
    """Ask the model all benchmarks; write `out_dir/<benchmark>.{parquet,json}`, return the JSON by benchmark.

    `data` names each benchmark's items (local JSONL or Parquet with the hub's fields). Tasks and items are
    checked before the model is loaded. The model is loaded once and asked benchmark by benchmark: limits and
    seconds are a benchmark's own, and its scores do not depend on which others are asked. What is `kept` in
    `out_dir` of an earlier run is not asked again; without `digests` nothing tells whose it is, and all is asked.
    `engine` is `transformers` or `vllm`, which takes its part of a GPU that `jobs_per_gpu` jobs share.
    """
    require_installed(engine)
    if missing := sorted(set(benchmarks) - set(data)):
        raise PrunegridError(f"no data file for benchmark {', '.join(missing)}")
    setting = {"batch_tokens": batch_tokens, "dtype": dtype, "device": device, "seed": seed, "digests": digests or {}}
    questions = [
        _prepare(protocol, name, benchmark, data[name], engine, setting) for name, benchmark in benchmarks.items()
    ]
    kept = EvaluationCache(out_dir)
    records, to_ask = {}, []
    for question in questions:
        record, state = kept.lookup(question.name, question.asking) if digests else (None, "its model has no digests")
        if record:
            records[question.name] = record
            kept.export(question.name, record)
            print(f"{question.name}: kept", flush=True)
        else:
            to_ask.append(question)
            print(f"{question.name}: to be asked, {state}", flush=True)
    if to_ask:
        records |= _run_benchmarks(to_ask, kept, model_dir, adapter_dir, jobs_per_gpu)
    return {name: records[name] for name in benchmarks}


class PreparedBenchmark(NamedTuple):
    """A benchmark made ready: its items, and all that its record says before it is asked."""

    name: str
    items: BenchmarkItems
    asking: dict[str, Any]


def _prepare(
    protocol: str, name: str, benchmark: Benchmark, data: Path, engine: str, setting: dict[str, Any]
) -> PreparedBenchmark:
    items = read_items(data, protocol, benchmark.task, benchmark.data, benchmark.limit)
    asking = {
        "benchmark": name,
        "protocol": protocol,
        "task": benchmark.task,
        "task_version": read_task(protocol, benchmark.task)["metadata"]["version"],
        "data": benchmark.data.model_dump(mode="json"),
        "data_hash": sha256(data),
        "limit": benchmark.limit,
        "n_available": items.available,
        "n_eligible": items.eligible,
        "n_complete": items.complete,
        **code_fingerprint(protocol, benchmark.task, engine),
        **setting,
    }
    return PreparedBenchmark(name, items, asking)


def _run_benchmarks(
    questions: list[PreparedBenchmark],
    kept: EvaluationCache,
    model_dir: Path,
    adapter_dir: Path | None,
    jobs_per_gpu: int,
) -> dict[str, Any]:
    """Load the model and ask it; each benchmark's files are whole before the next is asked."""
    os.environ |= OFFLINE | ENVIRONMENT
    from prunegrid.evaluation import harness

    how = questions[0].asking
    if recorded_engine(how) == VLLM:
        from prunegrid.evaluation import vllm_model

        settings = {key: how[key] for key in ("dtype", "device", "batch_tokens", "seed")}
        lm = vllm_model.load(model_dir, adapter_dir, kept.out_dir, jobs_per_gpu=jobs_per_gpu, **settings)
    else:
        model = load_model(model_dir, adapter_dir, how["dtype"], how["device"])
        lm = harness.wrap(model, model_dir, how["batch_tokens"])
    records = {}
    for name, items, asking in questions:
        start = time.perf_counter()
        spec = read_task(asking["protocol"], asking["task"])
        run = harness.run(lm, name, resolve(asking["protocol"], spec), items.docs, asking["seed"])
        record = asking | _scores(name, spec["metadata"], len(items.docs), run)
        record |= {"fallback": lm.fallback} if lm.fallback else {}
        record["seconds"] = round(time.perf_counter() - start, 3)
        records[name] = kept.store(name, _item_table(run["samples"], items.clusters, record["metric"]), record)
        kept.export(name, records[name])
        print(f"{name}: asked, {record['score']:.2f} % of {record['n_items']} in {record['seconds']} s", flush=True)
    return records


def _scores(name: str, told: dict[str, Any], asked: int, run: dict[str, Any]) -> dict[str, Any]:
    """The record's scores, in percent, checked against the items: none lost, none twice, the mean theirs."""
    metric, chosen = told["table_metric"], told["table_filter"]
    metrics = _percent(run["metrics"])
    shown = metrics[f"{metric},{chosen}"]
    rows = [sample for sample in run["samples"] if sample["filter"] == chosen]
    if sorted(row["doc_id"] for row in rows) != list(range(asked)):
        raise PrunegridError(f"{name}: {asked} items were asked, {len(rows)} came back from lm-eval")
    mean = 100 * statistics.fmean(float(row[metric]) for row in rows)
    if abs(shown["score"] - mean) > 1e-6:
        raise PrunegridError(f"{name}: lm-eval's {metric} is {shown['score']}, the mean of its items {mean}")
    return {
        "metric": metric,
        "filter": chosen,
        **shown,
        "n_items": len(rows),
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


def _item_table(samples: list[dict[str, Any]], clusters: list[str] | None, metric: str) -> pa.Table:
    """One row per item and filter; `value` is the table's metric for that item, 0..1."""
    rows = []
    for sample in samples:
        cluster = clusters[sample["doc_id"]] if clusters else sample["doc_hash"]
        own = {"cluster": cluster, "response": _response(sample["filtered_resps"]), "value": float(sample[metric])}
        rows.append({key: (sample | own)[key] for key in ITEM_COLUMNS.names})
    return pa.Table.from_pylist(rows, schema=ITEM_COLUMNS)


def _response(filtered: list[Any]) -> str:
    """The filtered answer; of options a JSON list of numbers in nats: lm-eval's (log-probability, ...), or an NLL."""
    if isinstance(filtered[0], str):
        return filtered[0]
    return json.dumps([float(found if isinstance(found, float) else found[0]) for found in filtered])
