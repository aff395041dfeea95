"""Steps, params and paths of cells. That the steps are Snakemake's jobs: tests/workflow/test_steps.py."""

from pathlib import Path

import pytest

from prunegrid.core.versions import STEP
from prunegrid.experiment import grid, inputs, layout, params, steps
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from support.errors import refused
from support.results_folder import an_experiment, put

VARIANTS = [
    "random+random",
    "random+ppl",
    {"equal": {"method": "random+random", "match": "random+ppl"}},
    {"in-training": {"method": "qtuning", "mode": "dynamic"}},
]


def cell_of(experiment: Experiment, variant: str) -> Cell:
    return next(cell for cell in grid.cells(experiment) if cell.variant == variant)


def test_layout_of_a_cell_is_the_pattern_of_the_rules() -> None:
    cell = cell_of(an_experiment(), "random+ppl")
    pattern = layout.training(layout.CELL)
    assert pattern == "trained/{model}/{cell}/training.json"
    assert pattern.format(model=cell.model, cell=cell.path) == layout.training(cell.name)
    assert layout.log("train_dynamic", cell.name) == layout.log("train", cell.name) == f"logs/train/{cell.name}.log"


def test_required_steps_end_with_the_cells_own() -> None:
    experiment = an_experiment(variants=VARIANTS)
    equal = steps.required_steps(experiment, cell_of(experiment, "equal"))
    rules = [step.rule for step in equal]
    assert rules == [
        *("model", "dataset", "score", "gather_scores", "benchmark_items", "benchmark_items"),
        *("prune", "prune", "train", "evaluate"),
    ]
    assert [step.cell and step.cell.variant for step in equal[-4:]] == ["random+ppl", "equal", "equal", "equal"]
    zero_shot = steps.required_steps(experiment, Cell("m", "zero-shot"))
    assert [step.rule for step in zero_shot] == ["model", "benchmark_items", "benchmark_items", "evaluate"]


def test_first_missing_looks_only_at_what_is_needed() -> None:
    experiment = an_experiment()
    required = steps.required_steps(experiment, cell_of(experiment, "random+ppl"))
    made = {file for step in required[:-1] for file in step.lasting}
    assert steps.first_missing(required, made.__contains__).rule == "evaluate"
    made -= {layout.dataset("world")}
    assert steps.first_missing(required, made.__contains__).rule == "evaluate", "its scores exist"
    made -= {layout.weights(required[-1].job)}
    assert steps.first_missing(required, made.__contains__).rule == "train"
    made -= {layout.scores_meta("m")}
    assert steps.first_missing(required, made.__contains__).rule == "dataset"


def test_finished_without_temporary_files_if_none_needs_them() -> None:
    experiment = an_experiment(runtime={"retention": "scores"})
    every = steps.all_steps(experiment)
    files = {file for step in every for file in step.lasting}
    assert steps.finished(every, files.__contains__) == set(every)
    cell = cell_of(experiment, "random+ppl")
    files -= {layout.score(cell.name, "A"), layout.scores_meta("m")}
    unfinished = set(every) - steps.finished(every, files.__contains__)
    assert sorted(step.rule for step in unfinished) == ["evaluate", "gather_scores", "score", "train"]


def test_check_own_scores_names_the_file_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "extra_columns", lambda *_: ["quality"])
    experiment = an_experiment()
    cell, file = cell_of(experiment, "random+ppl"), tmp_path / layout.extra_score("m", "quality")
    with refused(cell.name, "quality", fix=f"then write {file}"):
        inputs.check_own_scores(experiment, cell, tmp_path)
    put(file, "")
    inputs.check_own_scores(experiment, cell, tmp_path)


IMPORTED = [
    {"judged": {"method": "imported+ppl"}},
    {"in-training": {"method": "imported+imported", "token_scores": "influence", "mode": "dynamic"}},
    {"judged-epoch": {"method": "imported+ppl", "mode": "dynamic", "training": {"prune_samples": "epoch"}}},
    "random+ppl",
]
SCORE_FILES = {
    "quality": {"file": "judge.jsonl", "id": "uid", "source": "somebody"},
    "influence": "less/{model}.parquet",
    "unread": "other.parquet",
}


def test_imported_columns_are_files_that_cells_need() -> None:
    experiment = an_experiment(variants=IMPORTED, scores=SCORE_FILES)
    expected = {"judged": {"quality"}, "in-training": {"quality", "influence"}, "judged-epoch": {"quality"}}
    for name, columns in expected.items():
        cell = cell_of(experiment, name)
        assert set(grid.extra_columns(experiment, cell)) == columns
        rule = "prune" if name == "judged" else "train_dynamic"
        (needs,) = (step.needs for step in steps.cell_steps(experiment, cell) if step.rule == rule)
        assert {file for file in needs if "/extra/" in file} == {layout.extra_score("m", column) for column in columns}
        required = [step.job for step in steps.required_steps(experiment, cell) if step.rule == "imported_column"]
        assert set(required) == {f"m/{column}" for column in columns}
    made = {step.job: step for step in steps.all_steps(experiment) if step.rule == "imported_column"}
    assert made.keys() == {"m/quality", "m/influence"}, "what no variant reads is not imported"
    data = layout.dataset("world")
    assert [data in made[name].needs for name in made] == [name == "m/quality" for name in made]


def test_params_of_an_imported_column_leave_out_who_made_it() -> None:
    experiment = an_experiment(variants=IMPORTED, scores=SCORE_FILES)
    settings = params.imported_column(experiment, "quality")
    assert settings == {"column": None, "id": "uid", "direction": "highest", "missing": "refuse"}


def test_the_file_of_a_model_and_of_its_replicas_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = an_experiment(variants=IMPORTED, scores=SCORE_FILES)
    with refused("scores.influence.file", "less/m.parquet", fix="scores/m/meta.json"):
        inputs.score_file(experiment, "m", "influence")
    put(tmp_path / "less/m.parquet", "")
    assert inputs.score_file(experiment, "m@seed1", "influence") == "less/m.parquet"


def test_params_of_dynamic_cells_have_all_versions() -> None:
    experiment = an_experiment(variants=VARIANTS)
    static, dynamic = (cell_of(experiment, name) for name in ("random+ppl", "in-training"))
    assert params.training_versions(experiment, static) == {"train": STEP["train"]}
    assert params.training_versions(experiment, dynamic) == {name: STEP[name] for name in ("train", "score", "prune")}
    assert params.pruning_in_training(experiment, static) is None
    pruning = params.pruning_in_training(experiment, dynamic)
    assert pruning and pruning["method"] == "qtuning" and "seed" not in pruning
    assert params.pruning(experiment, static)["seed"] == static.seed


DYNAMIC_EXTRAS = [
    {"whole": {"method": "qtuning", "entropy_over": "sequence", "mode": "dynamic"}},
    {"before": {"method": "qtuning", "entropy_over": "sequence"}},
    {"short": {"method": "longest+rho1", "length_of": "instruction", "mode": "dynamic"}},
    {"like-short": {"method": "random+random", "match": "short", "mode": "dynamic"}},
    {"plain": {"method": "qtuning", "mode": "dynamic"}},
]


def test_dynamic_cells_need_the_files_of_scores_that_no_weights_change() -> None:
    """Those of the moment are made in training; static cells need a file of each. A match's columns count, too."""
    models = {"m": {"path": "somewhere", "reference": {"path": "other"}}}
    experiment = an_experiment(variants=DYNAMIC_EXTRAS, models=models)
    fixed = ["instruction_characters", "reference_nll"]
    expected = {"whole": [], "before": ["sequence_entropy"], "short": fixed, "like-short": fixed, "plain": []}
    for name, columns in expected.items():
        cell = cell_of(experiment, name)
        assert grid.extra_columns(experiment, cell) == columns, name
        files = {layout.extra_score("m", column) for column in columns}
        rule = "prune" if name == "before" else "train_dynamic"
        (needs,) = (step.needs for step in steps.cell_steps(experiment, cell) if step.rule == rule)
        assert {file for file in needs if "/extra/" in file} == files, name
    made = {step.job: step.needs for step in steps.all_steps(experiment) if step.rule == "extra_score"}
    assert made.keys() == {f"m/{name}" for name in (*fixed, "sequence_entropy")}
    data = layout.dataset("world")
    assert [name for name, needs in made.items() if data in needs] == ["m/instruction_characters"]


def test_versions_of_dynamic_cells_count_the_scores_that_they_read() -> None:
    experiment = an_experiment(variants=DYNAMIC_EXTRAS[:1] + DYNAMIC_EXTRAS[-1:])
    whole, plain = (params.training_versions(experiment, cell_of(experiment, name)) for name in ("whole", "plain"))
    assert whole == {**plain, "extra": STEP["extra"]}


def test_derived_scores_need_the_one_that_they_are_made_from() -> None:
    experiment = an_experiment(variants=["s-ifd+random", {"d": {"method": "random+sstoken", "mode": "dynamic"}}])
    made = {step.job: step for step in steps.all_steps(experiment) if step.rule == "extra_score"}
    assert made.keys() == {"m/ifd", "m/nll_alone", "m/s_ifd"}
    assert layout.extra_score("m", "nll_alone") in made["m/s_ifd"].needs
    cell = cell_of(experiment, "s-ifd+random")
    assert [step.job for step in steps.required_steps(experiment, cell) if step.rule == "extra_score"] == [*made]
    assert grid.extra_columns(experiment, cell_of(experiment, "d")) == []


def test_vectors_have_a_rule_of_their_own() -> None:
    (step,) = [steps._extra_score(an_experiment(), "m", "hidden_mean")]
    assert (step.rule, step.makes) == ("vector_score", ("scores/m/extra/hidden_mean.arrow",))
    assert (step.log, step.benchmark) == (
        "logs/extra_score/m/hidden_mean.log",
        layout.benchmark("extra_score", step.job),
    )
