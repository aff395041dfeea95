"""Who bears which part of a scoring pass, worked by hand."""

from pathlib import Path

from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.results import costs
from prunegrid.status import Files
from support.results_folder import an_experiment, put

VARIANTS = [
    "random+random",
    "longest+random",
    "random+ppl",
    {"q": {"method": "qtuning"}},
    {"early": {"method": "random+fastv", "fastv": "original"}},
    {"moving": {"method": "random+ppl", "mode": "dynamic"}},
    {"matched": {"method": "random+random", "match": "q"}},
]


def variant_costs(experiment: Experiment, root: Path, seed: int = 1) -> dict[str, float | None]:
    shares = costs.scoring_seconds(experiment, Files(root))
    return {cell.variant: share for cell, share in shares.items() if cell.seed == seed}


def test_scoring_seconds_are_shared_by_the_cells_that_read_a_pass(tmp_path: Path) -> None:
    experiment = an_experiment(variants=VARIANTS)
    put(tmp_path / "scores/m/meta.json", {"seconds": 12.0})
    put(tmp_path / "benchmarks/extra_score/m/fastv_layer2.jsonl", {"s": 6.0})
    # random+ppl and q read the scoring pass, early reads fastv_layer2 alone; each with two seeds.
    readers = {"random+ppl": 12 / 4, "q": 12 / 4, "early": 6 / 2}
    none = dict.fromkeys(("random+random", "longest+random", "moving", "matched", "full"), 0)
    assert variant_costs(experiment, tmp_path) == none | readers


def test_dynamic_cells_share_what_they_read_of_files(tmp_path: Path) -> None:
    """A score that is computed in training has no pass of its own; a static cell's is shared by those that read it."""
    short = {"method": "longest+random", "length_of": "instruction"}
    experiment = an_experiment(
        variants=[
            {"whole": {"method": "qtuning", "entropy_over": "sequence", "mode": "dynamic"}},
            {"before": {"method": "qtuning", "entropy_over": "sequence"}},
            {"short": short},
            {"moving": short | {"mode": "dynamic"}},
        ]
    )
    put(tmp_path / "scores/m/meta.json", {"seconds": 12.0})
    put(tmp_path / "benchmarks/extra_score/m/sequence_entropy.jsonl", {"s": 8.0})
    put(tmp_path / "benchmarks/extra_score/m/instruction_characters.jsonl", {"s": 2.0})
    readers = {"before": 12 / 2 + 8 / 2, "short": 2 / 4, "moving": 2 / 4}
    assert variant_costs(experiment, tmp_path) == {"whole": 0, "full": 0} | readers


def test_scoring_seconds_unknown_are_null(tmp_path: Path) -> None:
    experiment = an_experiment(variants=VARIANTS)
    shares = variant_costs(experiment, tmp_path)
    assert [shares[name] for name in ("random+random", "random+ppl", "early")] == [0, None, None]
    put(tmp_path / "scores/m/meta.json", {"samples": 3})
    assert variant_costs(experiment, tmp_path)["random+ppl"] is None


def test_gpu_hours_count_all_ranks_of_training() -> None:
    on_gpu = an_experiment(device="cuda", training={"ranks": 8})
    assert costs.cell_costs(on_gpu, 3600.0, 1800.0) == {"scoring_seconds": 1800.0, "gpu_hours": 8.5}
    assert costs.cell_costs(on_gpu, None, 0.0)["gpu_hours"] is None
    assert costs.cell_costs(on_gpu, 3600.0, None)["gpu_hours"] is None
    assert costs.cell_costs(an_experiment(), 3600.0, 1800.0) == {"scoring_seconds": 1800.0, "gpu_hours": None}


def test_scoring_seconds_of_references_are_zero(tmp_path: Path) -> None:
    cells = grid.cells(an_experiment())
    shares = costs.scoring_seconds(an_experiment(), Files(tmp_path))
    assert {cell for cell in cells if cell not in shares} == {cell for cell in cells if not cell.trained}
