"""A results folder made by hand whose cells answered questions: what the page's view of items is made from."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from prunegrid.experiment import grid
from prunegrid.experiment.grid import Cell
from support.results_folder import ITEMS, an_experiment, answer, finish, put, shared_files

ANSWERS = ["milk", "water", "tea"]
QUESTIONS = [f"Question {i}: what do {i} cats drink?" for i in range(ITEMS["A"])]
CLUSTERS = [f"passage {i // 2}" for i in range(ITEMS["B"])]


def fill(root: Path) -> dict[str, Cell]:
    """All cells of `an_experiment`, two seeds each, by path: A's scores are 0 or 1, B's shares, of two a passage."""
    experiment = an_experiment(references=["full"])
    put(root / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(root, experiment)
    cells = {cell.path: cell for cell in grid.cells(experiment)}
    for number, cell in enumerate(cells.values()):
        finish(root, cell, 50, 50, experiment=experiment)
        draws = np.random.default_rng(number)
        right = draws.random(ITEMS["A"]) < 0.3 + 0.05 * number
        said = [ANSWERS[0] if one else ANSWERS[1 + i % 2] for i, one in enumerate(right)]
        golds = [ANSWERS[0]] * len(right)
        answer(root, cell, "A", right.astype(float).tolist(), question=QUESTIONS, gold=golds, response=said)
        answer(root, cell, "B", (draws.integers(0, 5, ITEMS["B"]) / 4).tolist(), CLUSTERS)
    return cells


def seeds(cells: dict[str, Cell], variant: str) -> Iterator[Cell]:
    """The variant's cells."""
    return (cell for cell in cells.values() if cell.variant == variant)
