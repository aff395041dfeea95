"""Ask random items anew: the model is loaded, evaluated on them, and its answers compared with the item files.

The only check that finds answers which were forged together with all digests of them. It needs the trained weights
where they still are; every item of those cells is drawn with the same chance.
"""

import json
import math
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.gpus import use_device
from prunegrid.evaluation.evaluate import evaluate
from prunegrid.evaluation.fingerprint import installed_version
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.models import evaluated_digests, is_adapter
from prunegrid.models.remote_code import allow_code
from prunegrid.tasks.task import find_temperature

SAME = ("doc_hash", "prompt_hash", "target_hash")
TOLERANCE = {"float32": 1e-3}  # of a log-probability, relative and in nats: batches of other sizes round differently
COARSE = 0.05

Score = tuple[Cell, str]
"""A cell and a benchmark."""
Items = dict[Cell, dict[str, list[int]]]
"""`doc_id` of items, by cell and benchmark."""


class Recheck(NamedTuple):
    """Items that were asked, of how many models; those left out, by reason; and what differs."""

    seed: int
    items: int
    models: int
    left_out: Counter[str]
    remarks: list[str]
    problems: list[PrunegridError]


def recheck_items(root: Path, experiment: Experiment, scores: list[Score], count: int, seed: int) -> Recheck:
    """Ask `count` random items of these scores anew."""
    left_out: Counter[str] = Counter()
    population = [
        (cell, benchmark, doc_id)
        for cell, benchmark in scores
        if benchmark in experiment.evaluation.asked
        for doc_id in _items(root, experiment, cell, benchmark, left_out)
    ]
    chosen: Items = {}
    for cell, benchmark, doc_id in sorted(random.Random(seed).sample(population, min(count, len(population))), key=str):
        chosen.setdefault(cell, {}).setdefault(benchmark, []).append(doc_id)
    device = _device(experiment.device)
    remarks = [f"{change}: answers may differ by rounding" for change in _changes(root, experiment, chosen, device)]
    problems: list[PrunegridError] = []
    for number, (cell, items) in enumerate(chosen.items(), 1):
        print(f"model {number} of {len(chosen)}: {cell.name}", file=sys.stderr, flush=True)
        problems += _recheck_cell(root, experiment, cell, items, device)
    n_items = sum(len(ids) for items in chosen.values() for ids in items.values())
    return Recheck(seed, n_items, len(chosen), left_out, remarks, problems)


def _changes(root: Path, experiment: Experiment, chosen: Items, device: str) -> Iterator[str]:
    """What is not as it was when the cells were evaluated: the device, and versions of libraries."""
    if device != experiment.device:
        yield f"on {device} instead of {experiment.device}"
    versions = {
        (name, version)
        for cell, items in chosen.items()
        for benchmark in items
        for name, version in files.read_json(root / layout.score(cell.name, benchmark))["versions"].items()
    }
    for name, recorded in sorted(versions):
        if (present := installed_version(name)) != recorded:
            yield f"with {name} {present} instead of {recorded}"
    for benchmark in sorted({benchmark for items in chosen.values() for benchmark in items}):
        cell = next(cell for cell, items in chosen.items() if benchmark in items)
        recorded = files.read_json(root / layout.score(cell.name, benchmark))["task_hash"]
        if recorded != experiment.evaluation.find_task(benchmark).digest:
            yield f"with a different version of the task of {benchmark}"


def _items(root: Path, experiment: Experiment, cell: Cell, benchmark: str, left_out: Counter[str]) -> range:
    """The numbers of the items that can be asked; others are counted."""
    record = files.read_json(root / layout.score(cell.name, benchmark))
    numbers = range(int(record["n_items"]))
    folder = layout.weights(cell.name) if cell.trained else layout.base_model(cell.model)
    if not (root / folder).is_dir():
        reason = "their weights were deleted"
    elif _is_sampled(experiment, benchmark):
        reason = "their answers were sampled"
    elif _draws_examples(experiment, benchmark):
        reason = "their few-shot examples depend on the order of all items"
    else:
        return numbers
    left_out[reason] += len(numbers)
    return range(0)


def _is_sampled(experiment: Experiment, benchmark: str) -> bool:
    """By the benchmark's settings, or by those of the task's own file."""
    config = experiment.evaluation.find_task(benchmark).config
    return find_temperature(config.get("generation_kwargs", {"do_sample": False})) > 0


def _draws_examples(experiment: Experiment, benchmark: str) -> bool:
    config = experiment.evaluation.find_task(benchmark).config
    sampler = (config.get("fewshot_config") or {}).get("sampler")
    return bool(config.get("num_fewshot")) and sampler != "first_n"


def _device(preference: str) -> str:
    """`preference`, if this machine has it."""
    import torch

    return preference if preference == "cpu" or torch.cuda.is_available() else "cpu"


def _recheck_cell(
    root: Path, experiment: Experiment, cell: Cell, items: dict[str, list[int]], device: str
) -> Iterator[PrunegridError]:
    """What differs in this cell."""
    base = root / layout.base_model(cell.model)
    trained = root / layout.weights(cell.name) if cell.trained else base
    record = root / layout.score(cell.name, next(iter(items)))
    try:
        weights = evaluated_digests(base, trained)["weights"]
    except PrunegridError as error:
        yield error
        return
    if weights != files.read_json(record)["digests"].get("weights"):
        yield PrunegridError(trained, f"its weights differ from those evaluated in {record}", files.repair(trained))
        return
    evaluation = experiment.evaluation
    trust = experiment.sources[cell.model].trust_remote_code
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),  # the progress of single items
        use_device(device),
        allow_code(trust, base, trained),
    ):
        adapter = trained if is_adapter(trained) else None
        evaluate(
            base if adapter else trained,
            Path(folder),
            adapter_dir=adapter,
            benchmarks={name: evaluation.benchmarks[name] for name in items},
            data={name: root / layout.benchmark_items(name) for name in items},
            protocol=evaluation.protocol,
            tasks=evaluation.tasks,
            texts=False,
            batch_tokens=evaluation.batch_tokens,
            dtype=evaluation.dtype,
            device=device,
            engine=evaluation.engine,
            share_prefixes=evaluation.share_prefixes,
            doc_ids=items,
        )
        for name, ids in items.items():
            file = root / layout.answers(cell.name, name)
            yield from compare_items(file, ids, files.read_parquet(Path(folder, f"{name}.parquet")), evaluation.dtype)


def compare_items(file: Path, doc_ids: list[int], answers: pa.Table, dtype: str) -> Iterator[PrunegridError]:
    """What differs between an item file and the answers to some of its items, whose numbers there are `doc_ids`."""
    table = files.read_parquet(file)
    rows = table.filter(pc.is_in(table["doc_id"], pa.array(doc_ids, pa.int64()))).to_pylist()
    recorded = {(row["doc_id"], row["filter"]): row for row in rows}
    without_answers = not pc.any(pc.not_equal(table["response"], "")).as_py()  # evaluation.items: scores
    fix = f"re-evaluate it (in a workflow: rm {file.with_suffix('.json')}, then the same snakemake command)"
    for row in answers.to_pylist():
        doc_id = doc_ids[row["doc_id"]]
        other = recorded.get((doc_id, row["filter"]))
        row |= {"response": ""} if without_answers else {}
        problem = "is missing" if other is None else _difference(other, row, TOLERANCE.get(dtype, COARSE))
        if problem:
            yield PrunegridError(f"{file}: doc_id {doc_id}, filter {row['filter']}", problem, fix)


def _difference(recorded: dict[str, Any], row: dict[str, Any], tolerance: float) -> str:
    """What differs, in words; empty if nothing does."""
    if changed := [key for key in SAME if recorded[key] != row[key]]:
        return f"{', '.join(changed)} differs from the current item"
    if not math.isclose(recorded["value"], row["value"], abs_tol=1e-6):
        return f"value is {recorded['value']:g}; re-evaluation gives {row['value']:g}"
    if _is_same_answer(recorded["response"], row["response"], tolerance):
        return ""
    return f"response is {recorded['response'][:60]!r}; re-evaluation gives {row['response'][:60]!r}"


def _is_same_answer(recorded: str, response: str, tolerance: float) -> bool:
    """Equal texts, or equal log-probabilities but for rounding."""
    if recorded == response:
        return True
    try:
        pairs = zip(json.loads(recorded), json.loads(response), strict=True)
        return all(math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) for a, b in pairs)
    except (ValueError, TypeError):
        return False
