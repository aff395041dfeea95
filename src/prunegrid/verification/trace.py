"""One score of the table step by step, back to its items, its model and its baseline.

prunegrid trace results/sandbox sandbox-1M/s0.125-t0.5/qtuning/seed0 GSM8K
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.text import did_you_mean
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.results import collect
from prunegrid.statistics.paired_items import KEY, read_item_scores
from prunegrid.verification.numbers import baseline_cell, read_done_rows

MAX_LISTED = 20


def trace_score(directory: Path, cell_name: str, benchmark: str) -> list[str]:
    """Lines that lead from one score to its items, its model and its baseline."""
    experiment = collect.read_folder(directory)
    rows = read_done_rows(directory, experiment)
    scores = {(cell.name, name): (cell, row) for (cell, name), row in rows.items() if name != AVERAGE}
    cell_name = cell_name.rstrip("/")
    if (cell_name, benchmark) not in scores:
        raise _unknown_score(directory, experiment, cell_name, benchmark)
    cell, row = scores[cell_name, benchmark]
    answers = read_item_scores(directory, cell, benchmark)
    items, path = answers.rows.to_pandas(), directory / layout.answers(cell.name, benchmark)
    lines = [
        f"{cell_name}, {benchmark}: {row.score:.2f} % in {directory / layout.RESULTS}",
        f"= 100 x {items['value'].sum():g} / {len(items)} items in {path}, filter {answers.task['filter']}",
        *_origin(directory, experiment, cell, benchmark),
    ]
    base = baseline_cell(experiment, cell)
    if base and (base.name, benchmark) in scores:
        lines += _delta(items, read_item_scores(directory, base, benchmark).rows.to_pandas(), base.name)
    return lines


def _unknown_score(directory: Path, experiment: Experiment, cell: str, benchmark: str) -> PrunegridError:
    """The error for whichever of the two names is unknown, with suggestions."""
    cells, benchmarks = [cell.name for cell in grid.cells(experiment)], list(experiment.evaluation.benchmarks)
    if benchmark == AVERAGE:
        fix = f"trace these: {', '.join(benchmarks)}"
        return PrunegridError(directory, f"{benchmark} is the mean of the benchmarks", fix)
    for noun, name, names in (("cell", cell, cells), ("benchmark", benchmark, benchmarks)):
        if name not in names:
            fix = did_you_mean(name, names, count=3, cutoff=0.3) or f"give one of {', '.join(names[:3])}, ..."
            return PrunegridError(directory, f"there is no {noun} {name!r}", fix)
    return PrunegridError(directory, f"{cell} has no score on {benchmark}: the table says why", "run the workflow")


def _origin(directory: Path, experiment: Experiment, cell: Cell, benchmark: str) -> Iterator[str]:
    """The files behind the score, on the way back to the data."""
    path = directory / layout.score(cell.name, benchmark)
    record = files.read_json(path)
    digests = record["digests"]
    if benchmark in experiment.evaluation.imported:
        yield f"  imported: {path}, from {record['scores']}, sha256 {record['data_hash'][:12]}"
    else:
        yield f"  evaluated: {path}, weights {digests['weights'][:12]}"
    if cell.trained:
        weights = ", model/" if (directory / layout.weights(cell.name)).exists() else ""
        yield f"  trained: {directory / layout.training(cell.name)}{weights}"
    if cell.pruned:
        yield f"  selected: {directory / grid.selection_summary(experiment, cell)}"
        yield f"  scored with: {directory / layout.scores_meta(cell.model)}"
    yield f"  base model: {directory / layout.base_model(cell.model)}, digest {digests['model'][:12]}"


def _delta(items: pd.DataFrame, base_items: pd.DataFrame, base: str) -> Iterator[str]:
    """The delta, and the items that it comes from."""
    pairs = items.merge(base_items, on=KEY, suffixes=("", "_base"), validate="one_to_one")
    gap = 100 * (pairs["value"] - pairs["value_base"])
    score = 100 * base_items["value"].mean()
    yield f"against {base}: {score:.2f} %, delta {gap.mean():+.2f} points over {len(pairs)} items"
    for word, rows in {"better": gap > 0, "worse": gap < 0}.items():
        numbers = pairs.loc[rows, "doc_id"].tolist()
        ids = ", ".join(map(str, numbers[:MAX_LISTED])) + (", ..." if numbers[MAX_LISTED:] else "")
        yield f"  {word} on {len(numbers)}{': doc_id ' + ids if numbers else ''}"
    yield f"  alike on {(gap == 0).sum()}"
