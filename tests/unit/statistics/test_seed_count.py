"""How many seeds a rule makes: from the noise of finished cells, up to its maximum, never fewer than recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from prunegrid.cli import app
from prunegrid.core import files
from prunegrid.experiment import grid, seed_rule
from prunegrid.experiment.config import Experiment, load
from prunegrid.statistics import deltas, expectation, seed_count
from prunegrid.statistics.families import Assessment
from prunegrid.statistics.power import detectable
from support import table_frames
from support.errors import refused
from support.results_folder import an_experiment
from support.simulated_rows import answers, assessed
from support.snakemake_runs import ROOT

RULE = "auto(3, 10, detect=3)"


def ruled(rule: str = RULE) -> Experiment:
    return an_experiment(seeds=rule)


def finish(root: Path, seeds: int, sd: float) -> None:
    """A deltas file of cells over so many seeds, whose differences spread by `sd` points, and hardly any item noise."""
    noise = table_frames.noise(seeds, sd)
    deltas.write(table_frames.deltas(table_frames.delta("q0", "Avg", 9, **noise)), root / "deltas.parquet")


def test_rule_starts_with_its_least_number() -> None:
    assert ruled().seeds == [0, 1, 2]
    assert seed_rule.parse(RULE) == seed_rule.SeedRule(3, 10, 3)
    assert load(ruled().model_dump(mode="json")) == ruled(), "experiment.json keeps number and rule"


def test_list_of_seeds_leaves_the_dump_as_it_was() -> None:
    assert "seed_rule" not in an_experiment().model_dump()


@pytest.mark.parametrize(
    ("text", "value", "fix"),
    [
        ("auto(5, 3, detect=3)", "maximum below its minimum", "smaller number first"),
        ("auto(3, 10, detect=0)", "at or below 0", "above 0"),
        ("auto(2, 10, detect=3)", "starts with 2", "start with 3"),
        ("auto(3, 10)", "auto(3, 10)", "auto(3, 10, detect=3)"),
        ("auto(3, 10, detect=-1)", "detect=-1", "auto(3, 10, detect=3)"),
        ("three", "three", "[0, 1, 2]"),
    ],
)
def test_bad_rule_is_refused(text: str, value: str, fix: str) -> None:
    with refused("config.yaml", value, fix=fix):
        ruled(text)


def test_no_rule_before_cells_are_finished_makes_more(tmp_path: Path) -> None:
    assert seed_count.grown(ruled(), tmp_path).seeds == [0, 1, 2]
    assert "known once all cells are finished" in seed_count.sentence(ruled(), tmp_path)


def test_rule_grows_until_the_difference_is_found(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=1.8)
    count = seed_count.seed_count(ruled(), tmp_path)
    assert count is not None
    assert 3 < count.needed < 10
    assert count.detectable <= 3 < count.found_now
    assert seed_count.grown(ruled(), tmp_path).seeds == list(range(count.needed))
    one_fewer = seed_rule.SeedRule(3, count.needed - 1, 3)
    assert seed_count.seed_count(ruled(f"auto(3, {one_fewer.most}, detect=3)"), tmp_path).detectable > 3  # type: ignore[union-attr]


def test_quiet_cells_need_no_more(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=0.05)
    assert seed_count.grown(ruled(), tmp_path).seeds == [0, 1, 2]
    assert "no seed is added" in seed_count.sentence(ruled(), tmp_path)


def test_noisy_cells_stop_at_the_maximum(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=20)
    assert seed_count.grown(ruled(), tmp_path).seeds == list(range(10))
    assert "10 would detect" in seed_count.sentence(ruled(), tmp_path)


def test_number_never_falls_and_waits_for_all_cells(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=20)
    seed_rule.record(ruled().model_copy(update={"seeds": list(range(6))}), tmp_path)
    assert json.loads((tmp_path / "seeds.json").read_text()) == {"seeds": 6, "rule": RULE}
    assert seed_count.grown(ruled(), tmp_path).seeds == list(range(6)), "six are begun, three are collected"
    finish(tmp_path, 6, sd=0.05)
    assert seed_count.grown(ruled(), tmp_path).seeds == list(range(6)), "three would do, six are made"


def test_cells_of_fewer_seeds_keep_their_settings(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=20)
    few, many = grid.cells(ruled()), grid.cells(seed_count.grown(ruled(), tmp_path))
    assert set(few) < set(many)
    assert all(grid.training_of(ruled(), cell) == grid.training_of(an_experiment(), cell) for cell in few if cell.seed)


def test_damaged_number_is_refused(tmp_path: Path) -> None:
    files.write_json(tmp_path / "seeds.json", {"seeds": "six"})
    with refused(tmp_path / "seeds.json", "six", fix="delete the file"):
        seed_rule.recorded(ruled(), tmp_path)


@pytest.mark.slow
def test_growing_by_the_noise_keeps_the_level() -> None:
    """No row differs. Three seeds, then as many as 6 points take, ten at most: of 150 tables 5 % have a mark, or fewer.

    Of all numbers of seeds several occur, or nothing would be tried.
    """
    rng = np.random.default_rng(3)
    counts, marked = [], 0
    for _ in range(150):
        values_WSI = answers(rng, seeds=10)
        needed = needed_seeds(assessed(values_WSI[:, :3]), detect=6)
        counts.append(needed)
        marked += any(row.p_adjusted < 0.05 for row in assessed(values_WSI[:, :needed]))
    assert len(set(counts)) >= 4
    assert marked / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def needed_seeds(rows: list[Assessment], detect: float) -> int:
    noises = pd.DataFrame([vars(row.noise) for row in rows])
    frame = noises.assign(benchmark="Avg", n_seeds=3, level=rows[0].level, n_family=17)
    found = {seeds: detectable(frame, keys=(), seeds=seeds)["mde"].item() for seeds in range(3, 11)}
    return next((seeds for seeds, points in found.items() if points <= detect), 10)


def test_expected_difference_is_near_the_sandboxs() -> None:
    """Its three seeds find 5.5 points in Avg; ten would find 3.7, by that noise."""
    items = [200, 200, 150, 150, 150]
    assert expectation.expected_difference(items, 17, 3) == pytest.approx(5.5, abs=0.5)
    assert expectation.expected_difference(items, 17, 10) == pytest.approx(3.7, abs=0.5)
    assert expectation.expected_difference([10 * count for count in items], 17, 3) < 4.5


def test_expectation_names_the_seeds_that_it_would_take() -> None:
    experiment = ruled("auto(3, 10, detect=4)")
    assert "4 would take more than 10" in expectation.sentence(experiment, [100, 100])
    assert "4 would take 5" in expectation.sentence(experiment, [10**6, 10**6])


def test_plan_says_what_seeds_would_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Of the default config, before any cell exists, and with the cells of three seeds in the grid."""
    values = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"seeds": RULE}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    app.main(["plan", "config.yaml"])
    first, second, _, grid_line, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"Seeds: {RULE}, now 3; the number needed to detect 3 points in Avg is known")
    assert second.endswith("3 would take more than 10.")
    assert "3 seeds make 54 cells" in grid_line
