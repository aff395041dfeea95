"""Collect the results of an experiment into one tidy frame, with a row per cell and benchmark.

`prunegrid table results/<experiment>` and the rule `collect` run this. It reads the files that exist: a failed cell is
a row with that status, not the end of the table.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pyarrow as pa

from prunegrid import pruners
from prunegrid.core.files import Record, parquet_schema
from prunegrid.core.frames import read_frame, typed, write_frame
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.locate import read_folder
from prunegrid.experiment.names import AVERAGE, BASELINE, REFERENCES
from prunegrid.experiment.variant import Variant
from prunegrid.results import comparability, costs
from prunegrid.statistics import paired_items
from prunegrid.status import SEVERITY, Files, cell_status

COUNTS = ("steps", "sample_passes", "end_tokens")  # an older training.json, or results.parquet, may lack them
MEASURED = (
    "realised_sample_ratio",
    "realised_token_ratio",
    "trained_tokens",
    *COUNTS,
    "train_seconds",
    "scoring_seconds",
    "gpu_hours",
)
SCHEMA = pa.schema(
    {
        "experiment": pa.string(),
        "dataset": pa.string(),
        "model": pa.string(),
        "sample_ratio": pa.float64(),
        "token_ratio": pa.float64(),
        "sample_pruner": pa.string(),
        "token_pruner": pa.string(),
        "variant": pa.string(),
        "mode": pa.string(),
        "removal": pa.string(),
        "seed": pa.int64(),
        "protocol": pa.string(),
        "benchmark": pa.string(),
        "metric": pa.string(),
        "score": pa.float64(),
        "delta": pa.float64(),
        "n_items": pa.int64(),
        "realised_sample_ratio": pa.float64(),
        "realised_token_ratio": pa.float64(),
        "trained_tokens": pa.int64(),
        "steps": pa.int64(),
        "sample_passes": pa.int64(),
        "end_tokens": pa.int64(),
        "train_seconds": pa.float64(),
        "scoring_seconds": pa.float64(),
        "gpu_hours": pa.float64(),
        "status": pa.string(),
    }
)


def collect(experiment: Experiment, root: Path, files: Files | None = None) -> pd.DataFrame:
    """One row per cell and benchmark, Avg included: score in percent, delta in points.

    Raises `PrunegridError` for a damaged or incomplete file below `root` (a missing one is a status), and for cells
    whose scores are not comparable. `files` are those of `root`, if the caller wants to know which were read.
    """
    files = files or Files(root)
    shares = costs.scoring_seconds(experiment, files)
    rows = {cell: _rows(experiment, files, cell, shares.get(cell)) for cell in grid.cells(experiment)}
    scored = [(cell, row) for cell, cell_rows in rows.items() for row in cell_rows if row["benchmark"] != AVERAGE]
    done_scores = [(cell, row["benchmark"]) for cell, row in scored if row["status"] == "done"]
    comparability.check_comparable(experiment.evaluation, files, done_scores)
    for cell, benchmark in done_scores:  # each score's own items, of which the deltas read some only
        paired_items.check_score(root, cell, benchmark, files.content(layout.score(cell.name, benchmark)))
    return with_deltas(tidy([row for cell_rows in rows.values() for row in cell_rows]), baselines(experiment))


def collect_from(directory: Path | str) -> pd.DataFrame:
    """`collect` for a results folder, by its own `experiment.json`."""
    return collect(read_folder(Path(directory)), Path(directory))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame as Parquet with exactly the columns and types of `SCHEMA`, whole or not at all."""
    write_frame(frame, path, SCHEMA)


def read(path: Path) -> pd.DataFrame:
    """The frame that `write` wrote; `PrunegridError` where the file is damaged or lacks a column.

    `COUNTS` that an older version did not write are null.
    """
    names = parquet_schema(path).names
    there = pa.schema([field for field in SCHEMA if field.name in names or field.name not in COUNTS])
    return typed(read_frame(path, there).reindex(columns=SCHEMA.names), SCHEMA)


def tidy(rows: list[Record]) -> pd.DataFrame:
    """Rows as a frame with the columns and types of `SCHEMA`; a column that no row has is null."""
    return typed(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA)


def average(rows: list[Record]) -> Record:
    """The Avg row of one cell: the mean if every benchmark is done, else null and the worst status."""
    status = max((row["status"] for row in rows), key=SEVERITY.index)
    score = fmean(row["score"] for row in rows) if status == "done" else None
    return rows[0] | {
        "benchmark": AVERAGE,
        "metric": "mean",
        "score": score,
        "n_items": None,
        "status": status,
    }


def with_deltas(frame: pd.DataFrame, baselines: Mapping[str, str]) -> pd.DataFrame:
    """Fill `delta`: score minus that of the variant's baseline at the same model, budget, seed and benchmark.

    Null on a baseline's own rows, on reference cells, and if either score is missing.
    """
    place = ["model", "sample_ratio", "token_ratio", "seed", "benchmark"]
    baseline = frame["variant"].map(lambda variant: baselines.get(variant)).astype("string")
    base = frame[[*place, "variant", "score"]].rename(columns={"variant": "baseline", "score": "base"})
    pairs = frame.assign(baseline=baseline).merge(base, on=[*place, "baseline"], how="left", validate="many_to_one")
    null = baseline.isna() | (baseline == frame["variant"]) | frame["variant"].isin(REFERENCES)
    return frame.assign(delta=(pairs["score"] - pairs["base"]).mask(null.fillna(True).to_numpy(dtype=bool)))


def done(experiment: Experiment, frame: pd.DataFrame) -> Iterator[tuple[Cell, str]]:
    """(cell, benchmark) of every row that is done, Avg included; a cell's average comes after its benchmarks."""
    cells = {(cell.model, cell.variant, cell.budget, cell.seed): cell for cell in grid.cells(experiment)}
    budgets = {(b.sample_ratio, b.token_ratio): b for b in experiment.grid_budgets}
    rows: Any = frame[frame["status"] == "done"].itertuples()
    for row in rows:
        budget = None if pd.isna(row.sample_ratio) else budgets[row.sample_ratio, row.token_ratio]
        yield cells[row.model, row.variant, budget, None if pd.isna(row.seed) else int(row.seed)], row.benchmark


def baselines(experiment: Experiment) -> dict[str, str]:
    """What each variant's deltas are against: the plain random+random variant of the same reading, mode and removal.

    If there is none, it is the paper's with the experiment's mode and removal, or else the first of all. Without a
    plain random+random there are no deltas.
    """
    plain = {_manner(experiment, v): v.name for v in reversed(experiment.variants) if _plain(v)}
    training = experiment.training
    default = plain.get((pruners.PAPER, training.mode, training.removal)) or next(reversed(plain.values()), None)
    by_variant = {v.name: plain.get(_manner(experiment, v), default) for v in experiment.variants}
    return {name: baseline for name, baseline in by_variant.items() if baseline}


def _plain(variant: Variant) -> bool:
    return variant.method == BASELINE and variant.options.keys() <= {pruners.READING} and not variant.match


def _manner(experiment: Experiment, variant: Variant) -> tuple[str, str, str]:
    reading = variant.options.get(pruners.READING, pruners.PAPER)
    return reading, variant.mode or experiment.training.mode, variant.removal or experiment.training.removal


def _rows(experiment: Experiment, files: Files, cell: Cell, scoring: float | None) -> list[Record]:
    shared = _described(experiment, cell) | _measured(experiment, files, cell)
    shared |= costs.cell_costs(experiment, shared["train_seconds"], scoring)
    status = cell_status(experiment, files, cell)
    if status.outdated:
        shared |= dict.fromkeys(MEASURED)
    rows = [
        shared | {"benchmark": name, "status": word} | (_score(files, cell, name) if word == "done" else {})
        for name, word in status.by_benchmark.items()
    ]
    return [*rows, average(rows)]


def _described(experiment: Experiment, cell: Cell) -> Record:
    """The cell's settings. Nothing is removed from a reference cell's data."""
    sample, token, removal = cell.variant, None, None
    training = grid.training_of(experiment, cell)
    if cell.budget:
        variant = experiment.variant(cell.variant)
        sample, token = pruners.pruner_names(variant.method)
        removal = training.removal
    return {
        "experiment": experiment.experiment,
        "dataset": experiment.dataset.name,
        "model": cell.model,
        "sample_ratio": cell.budget and cell.budget.sample_ratio,
        "token_ratio": cell.budget and cell.budget.token_ratio,
        "sample_pruner": sample,
        "token_pruner": token,
        "variant": cell.variant,
        "mode": training.mode,
        "removal": removal,
        "seed": cell.seed,
        "protocol": experiment.evaluation.protocol,
    }


def _measured(experiment: Experiment, files: Files, cell: Cell) -> Record:
    """The measurements of pruning and training: realised ratios, counts, seconds; null without their files."""
    samples = tokens = 1.0 if cell.trained else None
    if cell.pruned:
        selection = grid.selection_summary(experiment, cell)
        samples, tokens = files.values(selection, "realised.samples", "realised_token_ratio")
    training = layout.training(cell.name)
    trained, seconds = files.values(training, "trained_tokens", "seconds") if cell.trained else (None, None)
    return {
        "realised_sample_ratio": samples,
        "realised_token_ratio": tokens,
        "trained_tokens": trained,
        **(_counts(files, training) if cell.trained else {}),
        "train_seconds": seconds,
    }


def _counts(files: Files, training: str) -> Record:
    """`COUNTS`, each null where the record does not have it."""
    found = {name: files.value(training, name, absent=math.nan) for name in COUNTS}
    return {name: None if value is None or math.isnan(value) else value for name, value in found.items()}


def _score(files: Files, cell: Cell, benchmark: str) -> Record:
    keys = ("protocol", "metric", "score", "n_items")
    record = layout.score(cell.name, benchmark)
    return dict(zip(keys, files.values(record, *keys), strict=True))
