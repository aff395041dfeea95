"""A results folder made by hand that the tests of the page's numbers share."""

from pathlib import Path

import pytest

from prunegrid.experiment import grid
from prunegrid.report.build import build
from prunegrid.table import build as tables
from support.results_folder import an_experiment, answer, finish, put, shared_files

RATIOS = [(0.125, 0.5), (0.5, 0.5)]


def values(cell: grid.Cell, benchmark: str) -> list[float]:
    """What a cell answers: other items of 40, and more of them, with each variant, budget and seed."""
    size = {"random+random": 9, "random+ppl": 8, "q0": 20, "zero-shot": 3, "full": 30}[cell.variant]
    size += 4 * (cell.seed or 0) + (benchmark == "B") + (int(8 * cell.budget.sample_ratio) if cell.budget else 0)
    return [float((7 * item) % 40 < size) for item in range(40)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two budgets, three variants, two seeds; a cell of random+ppl is missing, and one has failed."""
    root = tmp_path_factory.mktemp("results")
    budgets = [{"sample_ratio": sample, "token_ratio": token} for sample, token in RATIOS]
    experiment = an_experiment(budgets=budgets, references=["zero-shot", "full"])
    put(root / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(root, experiment)
    for cell in grid.cells(experiment):
        if cell.path not in ("s0.5-t0.5/random+ppl/seed0", "s0.5-t0.5/random+ppl/seed1"):
            finish(root, cell, 0, 0, experiment=experiment)
            for benchmark in ("A", "B"):
                answer(root, cell, benchmark, values(cell, benchmark))
    put(root / "logs/train/m/s0.5-t0.5/random+ppl/seed1.log", "prunegrid: failed\n")
    tables.build(root)
    tables.build(root, "full")
    build(root)
    return root
