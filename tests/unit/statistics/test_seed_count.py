"""How many seeds a rule makes: from the noise of finished cells, up to its maximum, never fewer than recorded."""

import json
from pathlib import Path

import pytest

from prunegrid.core import files
from prunegrid.experiment import grid, seed_rule
from prunegrid.experiment.config import Experiment, load
from prunegrid.statistics import deltas, seed_count
from support import table_frames
from support.errors import refused
from support.results_folder import an_experiment

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
        ("auto(3, 10, detect=0)", "no points", "above 0"),
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
    assert "shows once their cells are finished" in seed_count.sentence(ruled(), tmp_path)


def test_rule_grows_until_the_difference_is_found(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=1.8)
    count = seed_count.seed_count(ruled(), tmp_path)
    assert count is not None
    assert 3 < count.needed < 10
    assert count.found <= 3 < count.found_now
    assert seed_count.grown(ruled(), tmp_path).seeds == list(range(count.needed))
    one_fewer = seed_rule.SeedRule(3, count.needed - 1, 3)
    assert seed_count.seed_count(ruled(f"auto(3, {one_fewer.most}, detect=3)"), tmp_path).found > 3  # type: ignore[union-attr]


def test_quiet_cells_need_no_more(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=0.05)
    assert seed_count.grown(ruled(), tmp_path).seeds == [0, 1, 2]
    assert "no more are made" in seed_count.sentence(ruled(), tmp_path)


def test_noisy_cells_stop_at_the_maximum(tmp_path: Path) -> None:
    finish(tmp_path, 3, sd=20)
    assert seed_count.grown(ruled(), tmp_path).seeds == list(range(10))
    assert "10 would find" in seed_count.sentence(ruled(), tmp_path)


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
    with refused(tmp_path / "seeds.json", "six", fix="remove the file"):
        seed_rule.recorded(ruled(), tmp_path)
