"""A contrast of the config as a question to one model: its rows, cells and seeds, and what these scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prunegrid.core.ragged import Floats
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.contrasts import PrimaryContrast
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import REFERENCES, ZERO_SHOT
from prunegrid.experiment.variant import Budget
from prunegrid.statistics.paired_items import PairedItems

Scores = dict[Cell, dict[str, float]]


@dataclass(frozen=True)
class Question:
    """A contrast on one model: the rows beside the baseline, a row's cells of a seed, and the seeds of all of them."""

    contrast: PrimaryContrast
    model: str
    rows: list[str]
    seeds: list[int | None]
    budgets: list[Budget]
    benchmarks: list[str]

    def cells(self, row: str, seed: int | None) -> list[Cell]:
        """The cells of a row and seed, one per budget; of a reference the same cell for all."""
        if row in REFERENCES:
            return [Cell(self.model, row, None, None if row == ZERO_SHOT else seed)] * len(self.budgets)
        return [Cell(self.model, row, budget, seed) for budget in self.budgets]


def done_scores(experiment: Experiment, frame: pd.DataFrame) -> Scores:
    """Percent by cell and benchmark, of what is done."""
    scores: Scores = {}
    budgets = {(budget.sample_ratio, budget.token_ratio): budget for budget in experiment.grid_budgets}
    done: Any = frame[frame["status"] == "done"].itertuples()
    for row in done:
        budget = None if pd.isna(row.sample_ratio) else budgets[row.sample_ratio, row.token_ratio]
        cell = Cell(row.model, row.variant, budget, None if pd.isna(row.seed) else int(row.seed))
        scores.setdefault(cell, {})[row.benchmark] = float(row.score)
    return scores


def question_of(experiment: Experiment, contrast: PrimaryContrast, model: str, scores: Scores) -> Question:
    """The question on one model: its seeds are those with all cells done, its rows those that have these seeds."""
    benchmarks = contrast.members("benchmarks", list(experiment.evaluation.benchmarks))
    budgets = contrast.members("budgets", experiment.grid_budgets)
    draft = Question(contrast, model, [], [], budgets, benchmarks)

    def done(row: str, seed: int | None) -> bool:
        return all(name in scores.get(cell, {}) for cell in draft.cells(row, seed) for name in benchmarks)

    seeds = [
        seed for seed in experiment.seeds if all(done(row, seed) for row in (*contrast.variants, contrast.against))
    ]
    others = [variant.name for variant in experiment.variants if variant.name != contrast.against]
    rows = [row for row in others if all(done(row, seed) for seed in seeds)]
    return Question(contrast, model, rows, list(seeds), budgets, benchmarks)


def seed_scores(question: Question, benchmarks: Sequence[str], scores: Scores) -> dict[str, dict[int | None, float]]:
    """Each row's mean score over budgets and benchmarks by seed; Zero-Shot's has no seed."""
    rows = (*question.rows, question.contrast.against)
    return {
        row: {
            None if row == ZERO_SHOT else seed: float(
                np.mean([scores[cell][name] for cell in question.cells(row, seed) for name in benchmarks])
            )
            for seed in question.seeds
        }
        for row in rows
    }


def item_values(question: Question, row: str, items: PairedItems, indices: Mapping[Cell, int]) -> Floats:
    """A row's mean over budgets, by seed and item [S, I]."""
    return np.stack(
        [items.values_EI[[indices[cell] for cell in question.cells(row, s)]].mean(axis=0) for s in question.seeds]
    )
