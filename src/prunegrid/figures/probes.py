"""The lines of `figures.curves`: perplexity and entropy of fixed samples while dynamic variants are trained."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from prunegrid.core.files import read_json
from prunegrid.experiment import layout
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.variant import Budget
from prunegrid.figures import names
from prunegrid.figures.model_results import ModelResults, is_joint

SAMPLES = 100  # `training.dynamic.PROBE_SAMPLES`; its module imports torch
MEASURES = ("ppl", "entropy")
COLUMNS = ["step", *MEASURES, *(f"{name}_{end}" for name in MEASURES for end in ("min", "max")), "seeds"]


def variants(results: ModelResults) -> list[str]:
    """The dynamic variants in the table's order: pairs, then joint methods."""
    return [variant.name for variant in sorted(names.dynamic_variants(results.experiment), key=is_joint)]


def trained(results: ModelResults, budget: Budget, variant: str) -> list[dict[str, Any]]:
    """The reports of the trainings that are done, one per seed."""
    cells = [Cell(results.model, variant, budget, seed) for seed in results.experiment.seeds]
    files = [results.root / layout.training(cell.name) for cell in cells]
    return [read_json(file) for file in files if file.exists()]


def probes(reports: list[dict[str, Any]]) -> pd.DataFrame:
    """By step: mean `ppl` and `entropy` (nats) over the `seeds` that are done, and their least and greatest."""
    rows = [probe for report in reports for probe in report.get("probes", [])]
    steps = pd.DataFrame(rows, columns=["step", *MEASURES]).groupby("step")
    frame = steps.mean()
    for name in MEASURES:
        frame[f"{name}_min"], frame[f"{name}_max"] = steps[name].min(), steps[name].max()
    return frame.assign(seeds=steps.size()).reset_index()[COLUMNS]


def gap(reports: Iterable[list[dict[str, Any]]]) -> str:
    """Why these cells have no point; empty if they have one."""
    trainings = [report for group in reports for report in group]
    if not trainings:
        return f"no {layout.TRAINING}"
    return "" if any(report.get("probes") for report in trainings) else f"no probes in {layout.TRAINING}"
