"""A results folder made by hand: what the steps of cells leave behind."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pyarrow as pa

from prunegrid import pruners
from prunegrid.core import files
from prunegrid.experiment import config, grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell

ITEMS = {"A": 200, "B": 50}


def an_experiment(**changes: Any) -> Experiment:
    values = {
        "experiment": "tiny",
        "models": {"m": {"path": "somewhere"}},
        "dataset": {"name": "world", "path": "world.jsonl"},
        "budgets": [{"sample_ratio": 0.125, "token_ratio": 0.5}],
        "variants": ["random+random", "random+ppl", {"q0": {"method": "qtuning", "removal": "drop"}}],
        "seeds": [0, 1],
        "evaluation": {"benchmarks": {name: {"task": "arc_easy", "data": {"path": "d.jsonl"}} for name in ITEMS}},
    }
    return config.load(values | changes)


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


DIGESTS = {"model": "m", "data": "d"}


def shared_files(root: Path, experiment: Experiment) -> None:
    """What all cells of the model share."""
    put(root / "models/m.json", {"source": experiment.sources["m"].model_dump(mode="json")})
    put(root / "data/world.json", {"source": experiment.dataset.model_dump(mode="json")})
    put(root / "scores/m/meta.json", {"max_length": 2048, "dtype": "float32", "digests": DIGESTS})
    for name in ("data/world.parquet", "scores/m/samples.parquet", "scores/m/tokens.parquet"):
        put(root / name, "")
    for name in ITEMS:
        put(root / f"data/benchmarks/{name}.jsonl", "")
    (root / "models/m").mkdir(exist_ok=True)


def finish(root: Path, cell: Cell, *scores: float, experiment: Experiment | None = None) -> None:
    """Leave what a cell's steps leave, with these scores of the first benchmarks."""
    at, experiment = Path(cell.model, cell.path), experiment or an_experiment()
    if cell.budget:
        variant = experiment.variant(cell.variant)
        selection = {
            "method": variant.method,
            "options": pruners.complete_options(variant.method, variant.options),
            "match": variant.match,
            "nominal": {"samples": cell.budget.sample_ratio, "tokens": cell.budget.token_ratio},
            "seeds": {"cell": cell.seed},
            "realised": {"samples": 0.12, "all_tokens": 0.3},
            "realised_token_ratio": 0.51,
        }
        if grid.dynamic(experiment, cell):
            selection["pruning"] = grid.pruning_of(experiment, cell).model_dump()
        put(root / grid.selection_summary(experiment, cell), selection)
    if cell.trained:
        training = grid.training_of(experiment, cell).model_dump(mode="json")
        made = {
            "training": training,
            "seed": cell.seed,
            "digests": DIGESTS,
            "trained_tokens": 1234,
            "seconds": 5.5,
            "steps": 7,
        }
        put(root / "trained" / at / "training.json", made)
        (root / "trained" / at / "model").mkdir(exist_ok=True)
    for (name, items), score in zip(ITEMS.items(), scores, strict=False):
        record = {"benchmark": name, "protocol": "harness", "metric": "acc", "score": score, "n_items": items}
        record |= {"task": "arc_easy", "limit": None, "dtype": "float32", "task_hash": "t", "data_hash": name}
        record |= {"task_version": 1}
        record |= {"versions": {"lm_eval": "0.4.13", "torch": "2.13.0"}, "digests": {"model": "m", "template": "p"}}
        record["digests"]["weights"] = f"{cell.path} weights"
        put(root / "evaluation" / at / f"{name}.json", record)
        answer(root, cell, name, [score / 100] * items)


def answer(
    root: Path,
    cell: Cell,
    benchmark: str,
    values: Sequence[float],
    clusters: Sequence[str] = (),
    **texts: Sequence[str],
) -> None:
    """Item records of a cell (in 0..1), and its score after them: what `finish` left is kept otherwise.

    `texts`: further columns, or other answers: `question`, `gold`, `response`.
    """
    file = root / "evaluation" / cell.model / cell.path / f"{benchmark}.parquet"
    hashes = [f"{benchmark}{number}" for number in range(len(values))]
    columns = {
        "doc_id": pa.array(range(len(values)), pa.int64()),
        "doc_hash": hashes,
        "prompt_hash": hashes,
        "target_hash": hashes,
        "filter": ["none"] * len(values),
        "cluster": list(clusters) or hashes,
        "response": [str(value) for value in values],
        "value": pa.array(map(float, values), pa.float64()),
    }
    files.write_parquet(file, pa.table(columns | texts))
    record = files.read_json(file.with_suffix(".json"))
    record |= {"score": round(100 * fmean(values), 9), "n_items": len(values)}
    record |= {"filter": "none", "items_hash": files.sha256(file), "schema": 2}
    put(file.with_suffix(".json"), record)


def rows(frame: pd.DataFrame, variant: str, seed: int | None = None) -> pd.DataFrame:
    """The cell's rows, by benchmark."""
    same = frame["seed"].isna() if seed is None else frame["seed"] == seed
    return frame[(frame["variant"] == variant) & same].set_index("benchmark")
