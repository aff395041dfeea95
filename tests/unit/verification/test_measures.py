"""Kept, Tokens and Cost recomputed as pruning and training count: conversations, mini-batches, a part of an epoch."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunegrid.core import files
from prunegrid.experiment import config, grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.scoring.writer import write_scores
from prunegrid.selection.prune import prune
from prunegrid.verification.columns import check_columns
from prunegrid.verification.measures import Measures
from support.conversations import conversations
from support.results_folder import an_experiment


def experiment(**changes: Any) -> Experiment:
    budget = {"sample_ratio": 0.5, "token_ratio": 0.5}
    return an_experiment(budgets=[budget], variants=["qtuning"], seeds=[0], references=["full"], **changes)


@pytest.mark.parametrize("unit", ["turn", "conversation"])
@pytest.mark.parametrize("epochs", [3.0, 2.5])
def test_static_cells(tmp_path: Path, unit: str, epochs: float) -> None:
    given = conversations()
    rng = np.random.default_rng(1)
    names = ("nll", "entropy", "fastv", "sparsevlm")
    values = {name: rng.gamma(2.0, 1.0, given.response_offsets[-1]).astype(np.float32) for name in names}
    write_scores(tmp_path / layout.scores("m"), given, values, {"schema": 1, "digests": {}, "seconds": 6.0})
    ours = experiment(dataset={"name": "d", "path": "d.jsonl", "turns": "all"}, unit=unit)
    cell, full = grid.cells(ours)
    summary = prune(tmp_path / layout.scores("m"), tmp_path / layout.pruned(cell.name), grid.pruning_of(ours, cell), 0)
    for each in (cell, full):
        counted = {"sample_passes": 0, "end_tokens": 0}
        files.write_json(tmp_path / layout.training(each.name), {"epochs": epochs, "seconds": 4.0} | counted)
    columns = Measures(tmp_path, ours).columns(cell)
    assert columns["realised_sample_ratio"] == pytest.approx([summary.realised["samples"]] * 2)
    assert columns["realised_token_ratio"] == pytest.approx([summary.realised_token_ratio] * 2)
    whole = epochs == 3.0
    assert columns["trained_tokens"] == (summary.kept_tokens * (3 if whole else 2), summary.kept_tokens * 3)
    assert (columns["train_seconds"], columns["scoring_seconds"]) == ((4.0, 4.0), (6.0, 6.0))
    kept = files.read_parquet(tmp_path / layout.pruned(cell.name) / layout.SELECTION).to_pylist()
    last = dict(zip(given.sample_id_N.tolist(), np.where(given.truncated_N, -2, given.response_N - 1), strict=True))
    ends = sum(last[row["sample_id"]] in row["kept"] for row in kept)
    assert columns["sample_passes"] == (len(kept) * (3 if whole else 2), len(kept) * 3)
    assert columns["end_tokens"] == (ends * (3 if whole else 2), ends * 3)
    settings = {"prune_twice": True, "per_device_train_batch_size": 2}
    report = {"epochs": 1.0, "seconds": 4.0, "training": settings, "sample_passes": 0, "end_tokens": 0}
    files.write_json(tmp_path / layout.training(cell.name), report)
    columns, passes = Measures(tmp_path, ours).columns(cell), -(-len(kept) // 2)
    fewest = sorted(len(row["kept"]) for row in kept)
    assert columns["sample_passes"] == (passes, passes), "one of each two, and a last one alone"
    assert columns["trained_tokens"] == (sum(fewest[:passes]), sum(fewest[-passes:]))
    columns = Measures(tmp_path, ours).columns(full)
    assert columns["trained_tokens"][1] == 3 * given.response_N.sum()
    assert columns["end_tokens"][1] == 3 * (~given.truncated_N).sum()
    assert columns["scoring_seconds"] == (0.0, 0.0)


def findings(root: Path, ours: Experiment, cell: Cell, **changes: Any) -> list[str]:
    """What is wrong once training.json and results.parquet have these numbers; others are what they must be."""
    record = root / layout.training(cell.name)
    files.write_json(record, files.read_json(record) | changes)
    bounds = Measures(root, ours).columns(cell)
    assert cell.budget
    ratios = {"sample_ratio": cell.budget.sample_ratio, "token_ratio": cell.budget.token_ratio}
    row = {"experiment": ours.experiment, "model": cell.model, "variant": cell.variant, "seed": cell.seed, **ratios}
    row |= {"benchmark": "A", "status": "done", **{name: high for name, (_, high) in bounds.items()}, **changes}
    collect.write(collect.tidy([row]), root / layout.RESULTS)
    return [f"{problem.where}: {problem.what}" for problem in check_columns(root, ours, shown=False).problems]


@pytest.mark.parametrize("column", ["trained_tokens", "sample_passes", "end_tokens"])
def test_a_number_beyond_what_the_second_cut_leaves_is_found(tmp_path: Path, column: str) -> None:
    """At both bounds it may be true; one more or one less is refused, and the record named."""
    given = conversations()
    rng = np.random.default_rng(1)
    values = {name: rng.gamma(2.0, 1.0, given.response_offsets[-1]).astype(np.float32) for name in ("nll", "entropy")}
    write_scores(tmp_path / layout.scores("m"), given, values, {"schema": 1, "digests": {}, "seconds": 6.0})
    ours = experiment(dataset={"name": "d", "path": "d.jsonl", "turns": "all"})
    cell, _ = grid.cells(ours)
    prune(tmp_path / layout.scores("m"), tmp_path / layout.pruned(cell.name), grid.pruning_of(ours, cell), 0)
    settings = {"prune_twice": True, "per_device_train_batch_size": 4}
    report = {"epochs": 2.0, "seconds": 4.0, "training": settings, "sample_passes": 0, "end_tokens": 0}
    files.write_json(tmp_path / layout.training(cell.name), report)
    bounds = Measures(tmp_path, ours).columns(cell)
    true = {name: high for name, (_, high) in bounds.items() if name in ("trained_tokens", *report)} | {"seconds": 4.0}
    low, high = bounds[column]
    assert findings(tmp_path, ours, cell, **true) == findings(tmp_path, ours, cell, **true | {column: low}) == []
    for wrong in (low - 1, high + 1):
        (finding,) = findings(tmp_path, ours, cell, **true | {column: wrong})
        assert finding.startswith(f"{tmp_path / layout.training(cell.name)}: {column} is {wrong}, but the selection")


@pytest.mark.training
@pytest.mark.parametrize("settings", [{}, {"max_steps": 4}], ids=["epochs", "a part of an epoch"])
def test_dynamic_cells(
    tmp_path: Path, scores: Path, undisturbed: Callable[..., Path], settings: dict[str, Any]
) -> None:
    out = undisturbed(dynamic=True, **settings)
    ours = experiment(training={"mode": "dynamic"})
    cell, _ = grid.cells(ours)
    shutil.copytree(scores, tmp_path / layout.scores("m"))
    shutil.copytree(out, tmp_path / layout.trained(cell.name), ignore=shutil.ignore_patterns("model"))
    report = files.read_json(tmp_path / layout.training(cell.name))
    summary = files.read_json(tmp_path / grid.selection_summary(ours, cell))
    columns = Measures(tmp_path, ours).columns(cell)
    assert report["epochs"] == (2.0 if not settings else pytest.approx(4 / 3))
    assert columns["trained_tokens"] == (report["trained_tokens"],) * 2
    assert columns["sample_passes"] == (report["sample_passes"],) * 2
    assert columns["realised_sample_ratio"] == pytest.approx([summary["realised"]["samples"]] * 2)
    assert columns["realised_token_ratio"] == pytest.approx([summary["realised_token_ratio"]] * 2)
    assert columns["scoring_seconds"] == (0.0, 0.0)
    fewest, most = columns["end_tokens"]
    assert fewest <= report["end_tokens"] <= most <= columns["sample_passes"][0]
    assert findings(tmp_path, ours, cell, end_tokens=report["end_tokens"]) == []
    for wrong in (fewest - 1, most + 1):
        (finding,) = findings(tmp_path, ours, cell, end_tokens=wrong)
        assert finding.startswith(f"{tmp_path / layout.training(cell.name)}: end_tokens is {wrong}, but the selection")


def test_a_pass_is_shared_by_the_cells_that_read_it(tmp_path: Path) -> None:
    """Random + PPL at two budgets and two seeds read the pass, Q-Tuning does, Random + Random does not."""
    values = {"variants": ["random+random", "random+ppl", "qtuning"], "seeds": [0, 1], "references": []}
    budgets = [{"sample_ratio": 0.5, "token_ratio": ratio} for ratio in (0.5, 0.25)]
    ours = config.load(an_experiment(budgets=budgets, **values).model_dump(mode="json"))
    files.write_json(tmp_path / layout.scores_meta("m"), {"seconds": 16.0})
    measures = Measures(tmp_path, ours)
    shares = {(cell.variant, measures.scoring_seconds(cell)) for cell in grid.cells(ours)}
    assert shares == {("random+random", 0.0), ("random+ppl", 2.0), ("qtuning", 2.0)}
