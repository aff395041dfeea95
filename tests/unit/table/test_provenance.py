"""The sentences below the table, from records made by hand."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid import __version__
from prunegrid.core import files
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.results import collect
from prunegrid.statistics.deltas import deltas
from prunegrid.table import provenance
from prunegrid.table.comparison import contrasts
from support.results_folder import an_experiment, answer, finish, shared_files

RIGHT = {"full": 0.9, "random+random": 0.5, "random+ppl": 0.4}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shared_files(tmp_path, an_experiment())
    for cell in grid.cells(an_experiment()):
        finish(tmp_path, cell, 30, 40)
        share = RIGHT.get(cell.variant, 0.3) + 0.05 * (cell.seed or 0)
        answer(tmp_path, cell, "A", [float(number < share * 100) for number in range(100)])
    return tmp_path


def footer(root: Path, experiment: Experiment | None = None) -> list[str]:
    experiment = experiment or an_experiment()
    frame = collect.collect(experiment, root)
    return provenance.footer(experiment, root, frame, deltas(frame, root, contrasts(experiment, frame)))


def record(root: Path, cell: str, **values: Any) -> None:
    path = root / "evaluation/m" / cell / "A.json"
    files.write_json(path, files.read_json(path) | values)


def test_footer_names_protocol_items_versions_config_and_code(root: Path) -> None:
    detects, evaluated, versions = footer(root)
    assert detects.startswith(
        "The smallest true difference, in points, that has an interval without 0 four times in five (items and seeds, "
    )
    assert evaluated == "Protocol harness, float32; items: A 100, B 50. Evaluated with lm_eval 0.4.13, torch 2.13.0."
    digest = provenance.config_digest(an_experiment())[:12]
    assert versions.startswith(f"Config {digest} (tiny); table by prunegrid {__version__}, ")


def test_footer_says_that_a_sample_is_a_conversation(root: Path) -> None:
    experiment = an_experiment()
    sample, *rest = footer(root, experiment.model_copy(update={"unit": "conversation"}))
    assert sample == "A sample is a conversation, with all of its answers."
    assert rest[:-1] == footer(root)[:-1]


def test_footer_has_the_contamination_check_where_it_is_asked_for(root: Path) -> None:
    report = {"items": 100, "checked": 90, "overlap": 2, "copied": 1}
    before = footer(root)
    files.write_json(root / "data/contamination.json", {"words": 13, "least_words": 8, "benchmarks": {"A": report}})
    assert footer(root) == before
    *_, sentence, _ = footer(root, an_experiment().model_copy(update={"contamination": True}))
    assert sentence == (
        "Contamination: items that share 13 words in a row (or all of a text of at least 8) with a training sample: "
        "A 2 of 90 (1 copied)."
    )


def test_footer_names_incomplete_benchmarks_and_cut_prompts(root: Path) -> None:
    for cell in grid.cells(an_experiment()):
        record(root, cell.path, n_complete=120)
    record(root, "full/seed1", n_truncated=7)
    _, _, incomplete, truncated, _ = footer(root)
    assert incomplete == "Not all items were evaluated: A 100 of 120."
    assert truncated == "Prompts were truncated on the left to fit the context, at most in a cell: A 7 of 100 items."


def test_footer_ignores_stale_cells(root: Path) -> None:
    """The first cell of its variant was evaluated with another limit: the table does not show it."""
    record(root, "s0.125-t0.5/random+random/seed0", limit=7, n_items=7)
    record(root, "zero-shot", limit=7, n_items=7)
    assert "items: A 100, B 50." in footer(root)[1]


def test_footer_without_evaluations_has_the_versions_alone(tmp_path: Path) -> None:
    shared_files(tmp_path, an_experiment())
    assert [line.partition(" ")[0] for line in footer(tmp_path)] == ["Config"]


def test_config_digest_depends_on_the_validated_values() -> None:
    same, other = an_experiment(), an_experiment(seeds=[0])
    assert provenance.config_digest(same) == provenance.config_digest(an_experiment())
    assert provenance.config_digest(same) != provenance.config_digest(other)


def test_footer_names_the_source_of_a_pruner_plug_in(root: Path, plugin_folder: Path) -> None:
    """The digests are those that the selections recorded, whatever the file holds now. Older selections have none."""
    experiment = an_experiment(variants=["random+random", "my_pruners:moderate+random"], seeds=[0, 1, 2])
    cells = [cell for cell in grid.cells(experiment) if cell.variant == "moderate+random"]
    for cell, digest in zip(cells, ("a" * 64, "b" * 64, None), strict=True):
        finish(root, cell, 30, 40, experiment=experiment)
        answer(root, cell, "A", [0.0] * 100)
        if digest:
            path = root / grid.selection_summary(experiment, cell)
            plugin = {"moderate": {"module": "my_pruners", "version": 1, "source": digest}}
            files.write_json(path, files.read_json(path) | {"foreign_pruners": plugin})
    shown = ", ".join(f"moderate (my_pruners, sha256 {digest * 12})" for digest in "ab")
    assert f"Pruners from outside the package: {shown}." in footer(root, experiment)


def test_left_out_samples_are_counted_by_reason(tmp_path: Path) -> None:
    counts = {"samples": 1990, "rows_left_out": {"no_answer": 3}, "left_out": {"empty_response": 7, "empty_prompt": 0}}
    files.write_json(tmp_path / layout.dataset_counts(an_experiment().dataset.name), counts)
    sentence = provenance._left_out(an_experiment(), tmp_path)
    assert sentence == "Training samples: 1,990; left out: 3 no answer, 7 empty response."
    assert provenance._left_out(an_experiment(), tmp_path / "elsewhere") == ""
