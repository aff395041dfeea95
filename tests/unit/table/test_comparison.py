"""What rows are compared with: baselines, references, other variants, the best pair."""

from pathlib import Path

from prunegrid.experiment import grid
from prunegrid.experiment.variant import Budget
from prunegrid.results import collect
from prunegrid.table.comparison import contrasts
from support.errors import refused
from support.results_folder import an_experiment, finish, shared_files

VARIANTS = [
    "random+random",
    "random+ppl",
    "entropy+ppl",
    "qtuning",
    {"m": {"method": "random+ppl", "match": "qtuning"}},
]
BUDGET = Budget(sample_ratio=0.125, token_ratio=0.5)
SCORES = {"random+random": (10, 20), "random+ppl": (12, 20), "entropy+ppl": (30, 0), "qtuning": (90, 90), "m": (80, 80)}


def compare(root: Path, baseline: str | None, leave_out: str = "") -> list[tuple[str, Budget | None, str]]:
    experiment = an_experiment(variants=VARIANTS)
    shared_files(root, experiment)
    for cell in grid.cells(experiment):
        if f"{cell.variant}/{cell.seed}" != leave_out:
            finish(root, cell, *SCORES.get(cell.variant, (50, 50)), experiment=experiment)
    pairs = contrasts(experiment, collect.collect(experiment, root), baseline)
    assert {(pair.model, pair.budget) for pair in pairs} == {("m", BUDGET)}
    return [(pair.variant, pair.baseline_budget, pair.baseline) for pair in pairs]


def test_by_default_the_baseline(tmp_path: Path) -> None:
    others = ["random+ppl", "entropy+ppl", "qtuning", "m"]
    assert compare(tmp_path, None) == [(name, BUDGET, "random+random") for name in others]


def test_a_reference_has_no_budget(tmp_path: Path) -> None:
    assert compare(tmp_path, "full") == [(name, None, "full") for name in SCORES]


def test_another_variant(tmp_path: Path) -> None:
    assert compare(tmp_path, "qtuning") == [(name, BUDGET, "qtuning") for name in SCORES if name != "qtuning"]


def test_the_best_pair_is_neither_joint_nor_matched(tmp_path: Path) -> None:
    """random+ppl has the best Avg (16) of the three pairs that qualify, entropy+ppl the best A."""
    assert compare(tmp_path, "best") == [(name, BUDGET, "random+ppl") for name in SCORES if name != "random+ppl"]


def test_a_pair_that_lacks_a_seed_is_not_the_best(tmp_path: Path) -> None:
    assert {other for _, _, other in compare(tmp_path, "best", leave_out="random+ppl/1")} == {"random+random"}


def test_contrasts_refuses_an_unknown_row(tmp_path: Path) -> None:
    with refused("tiny", "'ppl'", fix="best, zero-shot, full, random+"):
        compare(tmp_path, "ppl")
