"""Why a finished cell is stale: for every kind of setting its key, what it was and what it is."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid import status
from prunegrid.core import files
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.status import Files
from prunegrid.tasks.catalog import find_task
from support.results_folder import DIGESTS, ITEMS, an_experiment, finish, put, shared_files

QTUNING = {"qtuning": {"method": "qtuning"}}
EVEN = {"even": {"method": "random+random", "match": "qtuning"}}
VARIANTS: list[Any] = ["random+random", QTUNING, EVEN]
BENCHMARKS = {name: {"task": "arc_easy", "data": {"path": "d.jsonl"}} for name in ITEMS}
FLOAT32 = {
    "scoring": {"dtype": "float32"},
    "training": {"bf16": False},
    "evaluation": {"dtype": "float32", "benchmarks": BENCHMARKS},
}
ALL = {"zero-shot", "full", "random+random", "qtuning", "even"}
TRAINED = ALL - {"zero-shot"}


def made(**changes: Any) -> Experiment:
    return an_experiment(**{"variants": VARIANTS, "seeds": [0]} | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every cell of `made()`, finished."""
    experiment = made()
    shared_files(tmp_path, experiment)
    for cell in grid.cells(experiment):
        finish(tmp_path, cell, 10, 20, experiment=experiment)
    return tmp_path


def stale_reasons(experiment: Experiment, folder: Path) -> dict[str, list[str]]:
    """The reasons of every cell that is stale, by its variant."""
    told = status.all_statuses(experiment, Files(folder))
    assert {cell.variant for cell, actual in told.items() if actual.worst == "stale"} == {
        cell.variant for cell, actual in told.items() if actual.reasons
    }
    return {cell.variant: [str(reason) for reason in actual.reasons] for cell, actual in told.items() if actual.reasons}


def evaluation(**changes: Any) -> dict[str, Any]:
    return {"evaluation": {"benchmarks": {name: value | changes for name, value in BENCHMARKS.items()}}}


def test_reasons_of_current_cells_are_none(folder: Path) -> None:
    assert stale_reasons(made(), folder) == {}


@pytest.mark.parametrize(
    ("changes", "cells", "reasons"),
    [
        ({"training": {"learning_rate": 0.0002}}, TRAINED, ["training.learning_rate was 0.0001, now 0.0002"]),
        ({"training": {"lora": {"r": 16}}}, TRAINED, ["training.lora.r was 8, now 16"]),
        (
            {"training": {"lora": {"target_modules": ["q"]}}},
            TRAINED,
            ['training.lora.target_modules was "all-linear", now ["q"]'],
        ),
        ({"training": {"removal": "drop"}}, TRAINED - {"full"}, ['training.removal was "mask", now "drop"']),
        ({"scoring": {"max_length": 64}}, TRAINED, ["scoring.max_length was 2048, now 64"]),
        ({"scoring": {"dtype": "bfloat16"}}, TRAINED, ['scoring.dtype was "float32", now "bfloat16"']),
        (
            {"dataset": {"name": "world", "path": "world.jsonl", "max_samples": 5}},
            TRAINED,
            ["dataset.max_samples was null, now 5"],
        ),
        ({"models": {"m": {"path": "elsewhere"}}}, ALL, ['models.m.path was "somewhere", now "elsewhere"']),
        (
            {"models": {"m": {"hub": "o/m"}}},
            ALL,
            ['models.m.hub was null, now "o/m"', 'models.m.path was "somewhere", now null'],
        ),
        (
            {"variants": ["random+random", {"qtuning": {"method": "qtuning", "neighbor_lambda": 0}}, EVEN]},
            {"qtuning", "even"},
            ["variants.qtuning.neighbor_lambda was 0.5, now 0.0"],
        ),
        (
            {"variants": ["random+random", {"qtuning": {"method": "longest+ppl"}}, EVEN]},
            {"qtuning", "even"},
            ['variants.qtuning.method was "qtuning", now "longest+ppl"'],
        ),
        (
            {"variants": ["random+random", QTUNING, {"even": {"method": "random+random", "match": "random+random"}}]},
            {"even"},
            ['variants.even.match was "qtuning", now "random+random"'],
        ),
        (
            evaluation(task="gsm8k"),
            ALL,
            [f'evaluation.benchmarks.{name}.task was "arc_easy", now "gsm8k"' for name in ITEMS],
        ),
        (evaluation(limit=5), ALL, [f"evaluation.benchmarks.{name}.limit was null, now 5" for name in ITEMS]),
        (
            {"evaluation": {"dtype": "bfloat16", "benchmarks": BENCHMARKS}},
            ALL,
            ['evaluation.dtype was "float32", now "bfloat16"'],
        ),
        (
            {"evaluation": {"protocol": "paper", "benchmarks": BENCHMARKS}},
            ALL,
            ['evaluation.protocol was "harness", now "paper"'],
        ),
    ],
)
def test_reasons_name_a_changed_setting(
    folder: Path, changes: dict[str, Any], cells: set[str], reasons: list[str]
) -> None:
    assert stale_reasons(made(**changes), folder) == dict.fromkeys(cells, reasons)


@pytest.mark.parametrize(
    ("recorded", "changes", "reason"),
    [
        (
            {"batch_tokens": 8192},
            {"evaluation": {"batch_tokens": 512, "benchmarks": BENCHMARKS}},
            "evaluation.batch_tokens was 8192, now 512",
        ),
        (
            {"device": "cpu"},
            {"device": "cuda", **FLOAT32},
            'device was "cpu", now "cuda"',
        ),
        (
            {"data": {"hub": None, "config": None, "split": "train", "revision": None, "path": "d.jsonl"}},
            evaluation(data={"path": "e.jsonl"}),
            'evaluation.benchmarks.A.data.path was "d.jsonl", now "e.jsonl"',
        ),
    ],
)
def test_reasons_of_optional_keys_of_a_record(
    folder: Path, recorded: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    """Records of older versions do not say it, and are not stale for that."""
    assert stale_reasons(made(**changes), folder) == {}
    change(folder / "evaluation/m/zero-shot/A.json", **recorded)
    assert stale_reasons(made(**changes), folder) == {"zero-shot": [reason]}


def change(path: Path, **values: Any) -> None:
    put(path, files.read_json(path) | values)


def test_reasons_name_inputs_made_again(folder: Path) -> None:
    at = "m/s0.125-t0.5/qtuning/seed0"
    change(folder / f"trained/{at}/training.json", weights="others")
    assert stale_reasons(made(), folder) == {"qtuning": ["trained model changed after evaluation"]}
    change(folder / "models/m.json", digests={"model": "another"})
    remade = "base model changed after evaluation"
    assert {cell: reasons[-1] for cell, reasons in stale_reasons(made(), folder).items()} == {
        **dict.fromkeys(ALL, remade),
        "qtuning": "trained model changed after evaluation",
    }


def test_reasons_of_a_changed_template(folder: Path) -> None:
    """Its weights are the same: only the template's digest tells that it was made again since it was evaluated."""
    change(folder / "models/m.json", digests={"model": "m", "template": "p"})
    assert stale_reasons(made(), folder) == {}
    change(folder / "models/m.json", digests={"model": "m", "template": "q"})
    reason = "base model changed after evaluation"
    assert stale_reasons(made(), folder) == {cell: [reason] for cell in ALL}


def test_reasons_of_a_new_training_set_before_scoring(folder: Path) -> None:
    """`dataset.max_samples` was changed, the rule `dataset` has run, and scoring comes next."""
    fewer = made(dataset={"name": "world", "path": "world.jsonl", "max_samples": 5})
    put(folder / "data/world.json", {"source": fewer.dataset.model_dump(mode="json"), "digest": "another"})
    reason = "training set changed after scoring"
    assert stale_reasons(fewer, folder) == {cell: [reason] for cell in TRAINED}
    change(folder / "data/world.json", digest="d")
    assert stale_reasons(fewer, folder) == {}


def test_reasons_of_new_scores_before_pruning(folder: Path) -> None:
    """`scoring.max_length` was changed and scores were made again. Those of older versions say it in no digest."""
    short = made(scoring={"max_length": 64})
    change(folder / "scores/m/meta.json", max_length=64, digests=DIGESTS | {"scoring": "0f" * 32})
    reason = f"scores: digests.scoring was not set, now {('0f' * 32)[:12]}"
    assert stale_reasons(short, folder) == {cell: [reason] for cell in TRAINED}
    for training in (folder / "trained").rglob("training.json"):
        change(training, digests=DIGESTS | {"scoring": "0f" * 32})
    assert stale_reasons(short, folder) == {}


def test_reasons_of_a_match_that_was_pruned_again(folder: Path) -> None:
    at = "pruned/m/s0.125-t0.5/{}/seed0/selection.json"
    change(folder / at.format("qtuning"), n_kept_samples=9, kept_tokens=70)
    change(folder / at.format("even"), matched={"samples": 9, "tokens": 70, "shortest_response": 2})
    assert stale_reasons(made(), folder) == {}
    change(folder / at.format("qtuning"), kept_tokens=71)
    assert stale_reasons(made(), folder) == {"even": ["matched selection (qtuning) changed after pruning"]}


def test_reasons_of_new_scores_before_training(folder: Path) -> None:
    change(folder / "scores/m/meta.json", digests={"model": "m", "data": "0f" * 32})
    reason = f'scores: digests.data was "d", now {("0f" * 32)[:12]}'
    assert stale_reasons(made(), folder) == {cell: [reason] for cell in TRAINED}


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "of an older version"])
def test_reasons_of_a_new_selection_before_training(folder: Path, noted: bool) -> None:
    """The digest that `prune` noted is taken, and only where there is none the file is read."""
    at = "m/s0.125-t0.5/qtuning/seed0"
    selection = folder / f"pruned/{at}/selection.parquet"
    put(selection, "the selection")
    change(folder / f"trained/{at}/training.json", selection=files.sha256(selection))
    if noted:
        change(folder / f"pruned/{at}/selection.json", selection=files.sha256(selection))
        selection.write_text("not read")
    assert stale_reasons(made(), folder) == {}
    selection.write_text("another")
    if noted:
        change(folder / f"pruned/{at}/selection.json", selection=files.sha256(selection))
    assert stale_reasons(made(), folder) == {"qtuning": ["selection changed after training"]}


@pytest.mark.parametrize(
    ("lost", "cells"),
    [
        ("models/m.json", ALL),
        ("data/world.json", TRAINED),
        ("scores/m/meta.json", TRAINED),
        ("trained/m/full/seed0/training.json", {"full"}),
        ("pruned/m/s0.125-t0.5/qtuning/seed0/selection.json", {"qtuning", "even"}),
    ],
)
def test_reasons_name_missing_inputs(folder: Path, lost: str, cells: set[str]) -> None:
    (folder / lost).unlink()
    name = lost if cells in (ALL, TRAINED) else Path(lost).name
    assert stale_reasons(made(), folder) == {cell: [f"{name} is missing"] for cell in cells}


def test_reasons_of_a_new_version_of_an_own_pruner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prunegrid import pruners

    monkeypatch.setattr(type(pruners.JOINT["qtuning"]), "foreign", property(lambda pruner: pruner.name == "qtuning"))
    path = folder / "pruned/m/s0.125-t0.5/qtuning/seed0/selection.json"
    version = pruners.JOINT["qtuning"].version
    change(path, foreign_pruners={"qtuning": {"version": version}})
    assert stale_reasons(made(), folder) == {}
    change(path, foreign_pruners={"qtuning": {"version": 7}})
    reason = f"variants.qtuning: version.qtuning was 7, now {version}"
    assert stale_reasons(made(), folder) == {"qtuning": [reason], "even": [reason]}


def test_reasons_of_a_new_reference_model(tmp_path: Path) -> None:
    given: dict[str, Any] = {"variants": ["random+rho1"], "seeds": [0], "references": []}
    before, after = (
        an_experiment(models={"m": {"hub": "o/m", "reference": {"hub": n}}}, **given) for n in ("o/r", "o/s")
    )
    shared_files(tmp_path, before)
    put(tmp_path / "models/m@reference.json", {"source": before.sources["m@reference"].model_dump(mode="json")})
    (cell,) = grid.cells(before)
    finish(tmp_path, cell, 1.0, 2.0, experiment=before)
    assert stale_reasons(before, tmp_path) == {}
    assert stale_reasons(after, tmp_path) == {"random+rho1": ['models.m.reference.hub was "o/r", now "o/s"']}
    change(tmp_path / f"pruned/m/{cell.path}/selection.json", extras={"reference_nll": {"reference": "r"}})
    manifest = {"source": after.sources["m@reference"].model_dump(mode="json"), "digests": {"model": "s"}}
    put(tmp_path / "models/m@reference.json", manifest)
    reason = "reference model changed after scoring"
    assert stale_reasons(after, tmp_path) == {"random+rho1": [reason]}, "made again, and reference_nll not yet"
    change(tmp_path / "models/m@reference.json", digests={"model": "r"})
    assert stale_reasons(after, tmp_path) == {}


def test_reasons_of_dynamic_cells_compare_both_options(tmp_path: Path) -> None:
    def dynamic(neighbor_lambda: float) -> Experiment:
        q = {"q": {"method": "qtuning", "mode": "dynamic", "neighbor_lambda": neighbor_lambda}}
        even = {"even": {"method": "random+random", "mode": "dynamic", "match": "q"}}
        return an_experiment(variants=[q, even], seeds=[0], references=[])

    shared_files(tmp_path, dynamic(0.5))
    for cell in grid.cells(dynamic(0.5)):
        finish(tmp_path, cell, 1.0, 2.0, experiment=dynamic(0.5))
    assert stale_reasons(dynamic(0.5), tmp_path) == {}
    reason = "variants.q.neighbor_lambda was 0.5, now 0.25"
    assert stale_reasons(dynamic(0.25), tmp_path) == {"q": [reason], "even": [reason]}


def test_reasons_of_unfinished_cells_are_none(folder: Path) -> None:
    """There is nothing that the change could cost."""
    for file in (folder / "evaluation/m/full/seed0").iterdir():
        file.unlink()
    experiment = made(training={"learning_rate": 0.0002})
    told = status.cell_status(experiment, Files(folder), Cell("m", "full", None, 0))
    assert (told.worst, told.reasons, told.awaits, told.outdated) == ("missing", [], "evaluate", True)


@pytest.mark.parametrize(
    ("task", "digest", "stale"),
    [
        ("squadv2_prunegrid", "own", False),
        ("squadv2", "own", False),
        ("squadv2_prunegrid", "other", True),
        ("squadv2", "other", False),
    ],
)
def test_a_record_of_a_former_task_name_is_current(task: str, digest: str, stale: bool, folder: Path) -> None:
    """Under its former name, too: an old config still makes its table."""
    hashes = {"own": find_task("harness", "squadv2_prunegrid").digest, "other": "f" * 64}
    for record in folder.glob("evaluation/m/**/*.json"):
        put(record, files.read_json(record) | {"task": "squadv2", "task_hash": hashes[digest]})
    reasons = stale_reasons(made(**evaluation(task=task)), folder)
    assert reasons.keys() == (ALL if stale else set())
    assert all(".task" in reason for told in reasons.values() for reason in told)
