"""Evaluation records and item files made by hand, and the results frame that goes with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from prunegrid.core import files
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.variant import Budget
from prunegrid.results import collect

BUDGET = Budget(sample_ratio=0.125, token_ratio=0.5)
Values = Mapping[tuple[Cell, str], Sequence[float]]


def cell(variant: str, seed: int | None = 0, budget: Budget | None = BUDGET, model: str = "m") -> Cell:
    return Cell(model, variant, budget, seed)


def item_rows(values: Sequence[float], clusters: Sequence[Any] | None = None, chosen: str = "none") -> pd.DataFrame:
    """Items 0, 1, 2, ... of one filter; each its own cluster where none are given."""
    ids = range(len(values))
    return pd.DataFrame(
        {
            "doc_id": ids,
            "doc_hash": [f"d{i}" for i in ids],
            "prompt_hash": [f"p{i}" for i in ids],
            "target_hash": [f"t{i}" for i in ids],
            "filter": chosen,
            "cluster": [str(c) for c in (ids if clusters is None else clusters)],
            "response": "",
            "value": np.asarray(values, float),
        }
    )


def write_items(root: Path, cell: Cell, benchmark: str, items: pd.DataFrame, **changes: Any) -> Path:
    """Write the record and its items; the record's path."""
    file = root / "evaluation" / cell.model / cell.path / f"{benchmark}.parquet"
    files.write_parquet(file, pa.Table.from_pandas(items, preserve_index=False))
    record = {"schema": 2, "protocol": "harness", "task": "arc_easy", "task_version": 1, "metric": "acc"}
    record |= {"filter": "none", "items_hash": files.sha256(file)} | changes
    files.write_json(file.with_suffix(".json"), record)
    return file.with_suffix(".json")


def write_experiment(root: Path, values: Values, clusters: Sequence[Any] | None = None) -> pd.DataFrame:
    """Item files below `root` and their results frame; a benchmark that a cell lacks is missing."""
    names = list(dict.fromkeys(name for _, name in values))
    frame_rows = []
    for cell in dict.fromkeys(cell for cell, _ in values):
        cell_rows = [_row(cell, name, values.get((cell, name))) for name in names]
        frame_rows += [*cell_rows, collect.average(cell_rows)]
    for (cell, name), items in values.items():
        write_items(root, cell, name, item_rows(items, clusters))
    return collect.tidy(frame_rows)


def _row(cell: Cell, name: str, items: Sequence[float] | None) -> dict[str, Any]:
    return {
        "experiment": "tiny",
        "model": cell.model,
        "sample_ratio": cell.budget and cell.budget.sample_ratio,
        "token_ratio": cell.budget and cell.budget.token_ratio,
        "variant": cell.variant,
        "seed": cell.seed,
        "benchmark": name,
        "score": None if items is None else 100 * float(np.mean(items)),
        "status": "missing" if items is None else "done",
    }
