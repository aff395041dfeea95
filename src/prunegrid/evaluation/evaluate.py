"""Evaluates one model on all benchmarks in one process; writes a JSON of scores and a Parquet of items for each.

The rule `evaluate`, or `evaluate(...)` in Python. Tasks are YAML in `tasks/<protocol>`; docs/reference/evaluation.md
describes them and both files. Imports inside functions keep start-up short: torch and lm-eval load only when a
model is needed, and none is if every benchmark is in the cache.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import sha256
from prunegrid.evaluation.cache import EvaluationCache
from prunegrid.evaluation.engines import recorded_engine, require_installed
from prunegrid.evaluation.examples import with_examples
from prunegrid.evaluation.fingerprint import code_fingerprint
from prunegrid.evaluation.items import BenchmarkItems, read_items
from prunegrid.evaluation.records import item_table, record_scores
from prunegrid.evaluation.stock_items import read_stock_items
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.experiment.names import TRANSFORMERS, VLLM
from prunegrid.tasks.stock import StockTask
from prunegrid.tasks.task import Task

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process of its own would import the caller's script again
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def load_model(model_dir: Path, adapter_dir: Path | None, dtype: str, device: str) -> Any:
    """The model, with the adapter merged in if there is one, set to plain decoding.

    Only the token ids of generation_config.json are used: it may ask for sampling or a repetition penalty.
    """
    from transformers import GenerationConfig

    from prunegrid import models

    model = models.load_model(model_dir, dtype, device)
    if adapter_dir is not None:
        model = models.apply_adapter(model, adapter_dir)
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
    doc_ids: dict[str, list[int]] | None = None,
    inputs: dict[str, str] | None = None,
    tasks: Sequence[str] = (),
    texts: bool = True,
    answers: bool = True,
    share_prefixes: bool = False,
) -> dict[str, dict[str, Any]]:
    """Evaluate the model on all benchmarks; write `out_dir/<benchmark>.{parquet,json}`, return the JSON by benchmark.

    `data` names each benchmark's items (local JSONL or Parquet with the hub's fields), which are checked before the
    model is loaded. Benchmarks in the cache in `out_dir` are not evaluated again; without `digests` the cache cannot
    tell models apart and is not read. `engine` is `transformers` or `vllm`, which takes its part of a GPU that
    `jobs_per_gpu` jobs share. `doc_ids` chooses items of each benchmark, whose new numbers are from 0 in that order.
    `inputs` is recorded: the SHA-256 of the files that the model was made from. `tasks` is `evaluation.tasks`. Item
    files hold no question and right answer without `texts`, and no answer of the model without `answers`.
    """
    require_installed(engine)
    _check_data(benchmarks, data)
    setting = {"batch_tokens": batch_tokens, "dtype": dtype, "device": device, "seed": seed, "digests": digests or {}}
    setting |= ({"inputs": inputs} if inputs else {}) | ({"share_prefixes": True} if share_prefixes else {})
    prepared = [
        _prepare(protocol, name, benchmark, benchmark.find_task(protocol, tasks), data[name], engine, setting)
        for name, benchmark in benchmarks.items()
    ]
    if doc_ids is not None:
        prepared = [each._replace(items=each.items.take(doc_ids[each.name])) for each in prepared]
    records = _cached_records(cache := EvaluationCache(out_dir), prepared, bool(digests))
    if pending := [each for each in prepared if each.name not in records]:
        records |= _run_benchmarks(pending, cache, model_dir, adapter_dir, jobs_per_gpu, texts, answers)
    return {name: records[name] for name in benchmarks}


def _check_data(benchmarks: dict[str, Benchmark], data: dict[str, Path]) -> None:
    if missing := sorted(set(benchmarks) - set(data)):
        problem = "no file is given"
        raise PrunegridError(f"evaluate: data of {', '.join(missing)}", problem, "name each benchmark's items")


class PreparedBenchmark(NamedTuple):
    """A benchmark's task, its file of items, those that are asked, and its fingerprint: all of its record that is known
    before the model runs."""

    name: str
    task: Task
    data: Path
    items: BenchmarkItems
    fingerprint: dict[str, Any]


def _prepare(
    protocol: str, name: str, benchmark: Benchmark, task: Task, data: Path, engine: str, setting: dict[str, Any]
) -> PreparedBenchmark:
    if isinstance(task, StockTask):
        task, items = read_stock_items(data, task, benchmark.limit)
    else:
        items = read_items(data, task, benchmark.data, benchmark.limit, has_examples=bool(benchmark.examples))
    fingerprint = {
        "benchmark": name,
        "protocol": protocol,
        "task": benchmark.task_name,
        "task_version": task.metadata["version"],
        "data": benchmark.data.model_dump(mode="json") if benchmark.data else None,
        "data_hash": sha256(data),
        "limit": benchmark.limit,
        **benchmark.model_dump(
            mode="json", include={"gen_kwargs", "repeats", "examples"}
        ),  # none, where they are as before
        **({"settings": benchmark.settings} if benchmark.settings else {}),
        "n_available": items.available,
        "n_eligible": items.eligible,
        "n_complete": items.complete,
        **code_fingerprint(task, engine),
        **setting,
    }
    # the digest is of the task alone: its examples are in the file of items, which has a digest of its own
    asked = with_examples(task, data) if benchmark.examples else task
    return PreparedBenchmark(name, asked, data, items, fingerprint)


def _cached_records(
    cache: EvaluationCache, prepared: list[PreparedBenchmark], model_is_known: bool
) -> dict[str, dict[str, Any]]:
    """The records in the cache, once their files are beside it; what is evaluated, and why, is printed."""
    records = {}
    for name, _, _, _, fingerprint in prepared:
        record, state = cache.lookup(name, fingerprint) if model_is_known else (None, "its model has no digests")
        if record:
            records[name] = record
            cache.export(name, record)
        print(f"{name}: {state}" if record else f"{name}: to be evaluated, {state}", flush=True)
    return records


def _run_benchmarks(
    pending: list[PreparedBenchmark],
    cache: EvaluationCache,
    model_dir: Path,
    adapter_dir: Path | None,
    jobs_per_gpu: int,
    texts: bool,
    answers: bool,
) -> dict[str, Any]:
    """Load the model and run it; each benchmark's files are complete before the next one starts."""
    os.environ |= OFFLINE | ENVIRONMENT
    from prunegrid.evaluation import harness
    from prunegrid.evaluation.stock_run import run_stock

    harness.configure_lm_eval()
    setting = pending[0].fingerprint
    if recorded_engine(setting) == VLLM:
        from prunegrid.evaluation import vllm_model

        settings = {key: setting[key] for key in ("dtype", "device", "batch_tokens", "seed")}
        lm = vllm_model.load(model_dir, adapter_dir, cache.out_dir, jobs_per_gpu=jobs_per_gpu, **settings)
    else:
        model = load_model(model_dir, adapter_dir, setting["dtype"], setting["device"])
        lm = harness.wrap(model, model_dir, setting["batch_tokens"], setting.get("share_prefixes", False))
    records = {}
    for name, task, data, items, fingerprint in pending:
        start = time.perf_counter()
        if isinstance(task, StockTask):
            run = run_stock(lm, name, task, items.docs, data)
        else:
            run = harness.run(lm, name, task.resolve(), items.docs, fingerprint["seed"], fingerprint.get("repeats", 1))
        record = fingerprint | record_scores(name, task.metadata, len(items.docs), run)
        record |= {"fallback": lm.fallback} if lm.fallback else {}
        record["seconds"] = round(time.perf_counter() - start, 3)
        clusters = run.get("clusters", items.clusters)
        table = item_table(run["samples"], clusters, record["metric"], texts, answers)
        records[name] = cache.store(name, table, record)
        cache.export(name, records[name])
        score, seconds = records[name]["score"], record["seconds"]
        print(f"{name}: evaluated, {score:.2f} % of {record['n_items']} items in {seconds} s", flush=True)
    return records
