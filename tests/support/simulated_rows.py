"""Simulated tables of one column: 17 rows and a baseline, with the noise of items, of runs, and of both."""

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.statistics.families import Assessment, Comparison, assess
from prunegrid.statistics.inference import item_effect

ROWS, ITEMS = 17, 200


def answers(rng: np.random.Generator, effect: float = 0.0, seeds: int = 3) -> Floats:
    """Values of rows, the baseline last, by seed and item; the first row is `effect` points better.

    Rows share the items' difficulties, a recipe's taste is common to its runs, each run is 2 points better or worse
    throughout, and an answer has noise of its own.
    """
    difficulty_I = rng.normal(0.5, 0.25, ITEMS)
    taste_WI = rng.normal(0, 0.1, (ROWS + 1, ITEMS))
    run_WS = rng.normal(0, 0.02, (ROWS + 1, seeds))
    values_WSI = difficulty_I + taste_WI[:, None] + run_WS[:, :, None] + rng.normal(0, 0.3, (ROWS + 1, seeds, ITEMS))
    values_WSI[0] += effect / 100
    return values_WSI


def assessed(values_WSI: Floats) -> list[Assessment]:
    """The rows against the baseline, corrected together."""
    cluster_I = np.arange(ITEMS)
    comparisons = [
        Comparison(row, ROWS, item_effect(values_WSI[row] - values_WSI[ROWS], cluster_I)) for row in range(ROWS)
    ]
    scores = {row: {s: 100 * float(run_I.mean()) for s, run_I in enumerate(values_WSI[row])} for row in range(ROWS + 1)}
    return assess({"A": comparisons}, {"A": scores})["A"]
