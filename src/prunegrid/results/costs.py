"""What a cell costs: its training, and its share of the scoring passes that its pruners read.

A pass is shared by all cells of the experiment that read it, finished or not: every seed and budget of a variant. Cells
that read nothing of it (random+random, full) have no share; a dynamic cell scores in its training.
"""

import math
from typing import Any

from prunegrid import pruners
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.pruners.columns import BASE_NLL, PASS_COLUMNS, complete_extras
from prunegrid.status import Files

COUNTED = ("prompt_tokens", "response_tokens", "truncated")  # known from the tokenizer alone
PASS = "scoring pass"


def scoring_seconds(experiment: Experiment, files: Files) -> dict[Cell, float | None]:
    """Each trained cell's share of its model's scoring passes, in seconds; null if the time of a pass is unknown."""
    read = {cell: passes(experiment, cell) for cell in grid.cells(experiment) if cell.trained}
    shares: dict[tuple[str, str], float | None] = {}
    for model, name in {(cell.model, name) for cell, names in read.items() for name in names}:
        sharing = sum(cell.model == model and name in names for cell, names in read.items())
        seconds = _seconds(files, model, name)
        shares[model, name] = None if seconds is None else seconds / sharing
    return {cell: _sum([shares[cell.model, name] for name in names]) for cell, names in read.items()}


def cell_costs(experiment: Experiment, train_seconds: float | None, scoring: float | None) -> dict[str, Any]:
    """`scoring_seconds` and, on GPUs, `gpu_hours`: training on its ranks' GPUs, scoring on one."""
    hours = None
    if experiment.device == "cuda" and train_seconds is not None and scoring is not None:
        hours = (train_seconds * experiment.training.ranks + scoring) / 3600
    return {"scoring_seconds": scoring, "gpu_hours": hours}


def passes(experiment: Experiment, cell: Cell) -> list[str]:
    """The passes over the data whose scores a cell's pruners read: the scoring pass, optional scores.

    Of these a dynamic cell reads optional scores that no weights change, and what an epoch's samples are chosen by.
    """
    if not cell.pruned:
        return []
    if grid.dynamic(experiment, cell):
        by_epoch = grid.training_of(experiment, cell).prune_samples == "epoch"
        spec = grid.pruning_of(experiment, cell)
        read = {*spec.needs.samples} & (set(PASS_COLUMNS) - set(COUNTED)) if by_epoch else spec.columns & {BASE_NLL}
        return _in_passes(experiment, [*([PASS] if read else []), *grid.extra_columns(experiment, cell)])
    variant = experiment.variant(cell.variant)
    needs = pruners.needs(variant.method, variant.options)
    read = {*needs.samples, *needs.tokens} - set(COUNTED)
    return _in_passes(experiment, [*([PASS] if read & set(PASS_COLUMNS) else []), *(read - set(PASS_COLUMNS))])


def _in_passes(experiment: Experiment, names: list[str]) -> list[str]:
    """The passes that give `names`: an optional score has its own, unless the scoring pass computes it."""
    return sorted({PASS if name in experiment.scoring.extra else name for name in complete_extras(names)})


def _seconds(files: Files, model: str, name: str) -> float | None:
    """Wall-clock time of a pass, over all shards; of an optional score, by Snakemake's benchmark file."""
    if name == PASS:
        (seconds,) = files.values(layout.scores_meta(model), "seconds", absent=math.nan)
    else:
        (seconds,) = files.values(layout.benchmark("extra_score", f"{model}/{name}"), "s", absent=math.nan)
    return None if seconds is None or math.isnan(seconds) else float(seconds)


def _sum(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
