"""Scores from outside as a benchmark: the record and the items, what is refused, and what the status of a cell is."""

import json
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import files
from prunegrid.core.step import DONE
from prunegrid.evaluation.imported import import_scores
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.imported import check_patterns, scores_file
from prunegrid.experiment.steps import all_steps, cell_steps
from prunegrid.results import collect
from prunegrid.statistics.paired_items import pair_items
from prunegrid.status import Files, cell_status
from support.errors import refused
from support.item_files import cell
from support.results_folder import an_experiment, finish, put, shared_files
from support.toy_tasks import write_jsonl

WINS = {"kind": "imported", "scores": "judge/{model}/{cell}.jsonl", "metric": "wins"}
ASKED = {"A": {"task": "arc_easy", "data": {"path": "d.jsonl"}}, "B": {"task": "arc_easy", "data": {"path": "d.jsonl"}}}
FIRST = Cell("m", "zero-shot", None, None)


def an_import(**changes: Any) -> Experiment:
    return an_experiment(evaluation={"benchmarks": ASKED | {"Wins": WINS | changes}})


def verdicts(path: Path, wins: list[float], **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_jsonl(path, [{"id": f"q{i}", "wins": value, **columns} for i, value in enumerate(wins)])


def imported(path: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return import_scores(path, out, "Wins", Benchmark.model_validate(WINS | changes), "harness", {"digests": {}})


def test_record_and_items(tmp_path: Path) -> None:
    path = verdicts(tmp_path / "v.jsonl", [1, 0, 0.5, 1])
    record = imported(path, tmp_path / "out")
    assert (record["score"], record["n_items"], record["metric"], record["filter"]) == (62.5, 4, "wins", "none")
    assert record["stderr"] == pytest.approx(100 * 0.4787 / 2, abs=0.01)
    assert record["data_hash"] == files.sha256(path) and record["scores"] == str(path)
    assert record == json.loads((tmp_path / "out/Wins.json").read_text())
    rows = files.read_parquet(tmp_path / "out/Wins.parquet").to_pandas()
    assert rows["doc_hash"].tolist() == ["q0", "q1", "q2", "q3"] and rows["value"].tolist() == [1, 0, 0.5, 1]


def test_cells_are_paired_by_id(tmp_path: Path) -> None:
    """The second file is in another order."""
    one, other = cell("qtuning"), cell("random+random")
    imported(verdicts(tmp_path / "a.jsonl", [1, 0, 1]), tmp_path / "evaluation" / one.name)
    rows = [{"id": f"q{i}", "wins": value} for i, value in ((2, 0), (0, 1), (1, 1))]
    imported(write_jsonl(tmp_path / "b.jsonl", rows), tmp_path / "evaluation" / other.name)
    assert pair_items(tmp_path, [one, other], "Wins").values_EI.tolist() == [[1, 0, 1], [1, 1, 0]]


def test_clusters_and_other_items(tmp_path: Path) -> None:
    one, other = cell("qtuning"), cell("random+random")
    imported(verdicts(tmp_path / "a.jsonl", [1, 0], topic="t"), tmp_path / "evaluation" / one.name, cluster=["topic"])
    assert pair_items(tmp_path, [one], "Wins").cluster_I.tolist() == [0, 0]
    imported(verdicts(tmp_path / "b.jsonl", [1, 0, 1], topic="t"), tmp_path / "evaluation" / other.name)
    records = [tmp_path / "evaluation" / each.name / "Wins.json" for each in (one, other)]
    with refused(f"{records[0]} and {records[1]}", "in only one of them"):
        pair_items(tmp_path, [one, other], "Wins")


def test_missing_file_and_another_scale_are_refused(tmp_path: Path) -> None:
    with refused(tmp_path / "none.jsonl", "no such file, which Wins imports", fix="evaluation.benchmarks.Wins"):
        imported(tmp_path / "none.jsonl", tmp_path / "out")
    path = verdicts(tmp_path / "v.jsonl", [1, 7.5])
    with refused(path, "its wins is 1 to 7.5, not 0 to 1"):
        imported(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scores": None}, "scores is missing"),
        ({"scores": "judge/{modle}.jsonl"}, "'modle'"),
        ({"prompt": "{{q}}"}, "prompt is not read with kind: imported"),
        ({"task": "arc_easy"}, "give either task or kind"),
        ({"cluster": ["a", "b"]}, "cluster is one field"),
    ],
)
def test_keys_of_the_section_are_checked(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Exception, match="evaluation") as caught:
        an_import(**changes)
    assert problem in str(caught.value)


def test_all_imported_is_refused() -> None:
    with pytest.raises(Exception, match="add one that models are evaluated on"):
        an_experiment(evaluation={"benchmarks": {"Wins": WINS}})


def test_each_cell_has_its_file() -> None:
    experiment = an_import(scores="j/{model}/{variant}/{seed}.jsonl")
    trained = next(each for each in (step.cell for step in all_steps(experiment)) if each and each.pruned)
    assert scores_file(experiment, trained, "Wins") == f"j/m/{trained.variant}/{trained.seed}.jsonl"
    check_patterns(experiment)
    with refused("evaluation.benchmarks.Wins.scores", "the file j/m.jsonl"):
        check_patterns(an_import(scores="j/{model}.jsonl"))


def test_import_is_a_step_of_its_own() -> None:
    *_, evaluate, step = cell_steps(an_import(), FIRST)
    assert (evaluate.rule, step.rule, step.job) == ("evaluate", "import_scores", "m/zero-shot/Wins")
    assert "evaluation/m/zero-shot/Wins.json" in step.makes
    assert not any("Wins" in name for name in evaluate.makes + evaluate.needs)


def statuses(root: Path, experiment: Experiment) -> dict[str, str]:
    return cell_status(experiment, Files(root), FIRST).by_benchmark


def test_status_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, failed, done, stale: only the imported benchmark's."""
    monkeypatch.chdir(tmp_path)
    experiment, done = an_import(), {"A": "done", "B": "done"}
    shared_files(tmp_path, experiment)
    finish(tmp_path, FIRST, 50.0, 60.0, experiment=experiment)
    assert statuses(tmp_path, experiment) == done | {"Wins": "missing"}
    assert cell_status(experiment, Files(tmp_path), FIRST).awaits == "import_scores"
    log = tmp_path / "logs/import_scores/m/zero-shot/Wins.log"
    put(log, "FAILED: judge/m/zero-shot.jsonl: no such file\n")
    status = cell_status(experiment, Files(tmp_path), FIRST)
    assert status.by_benchmark == done | {"Wins": "failed"} and status.failure is not None
    assert status.failure.message()[0] == "judge/m/zero-shot.jsonl: no such file"
    put(log, f"{DONE}\n")
    path = verdicts(tmp_path / "judge/m/zero-shot.jsonl", [1, 0, 1, 1])
    imported(Path("judge/m/zero-shot.jsonl"), tmp_path / "evaluation/m/zero-shot")
    assert statuses(tmp_path, experiment) == done | {"Wins": "done"}
    frame = collect.collect(experiment, tmp_path)
    row = frame[(frame["variant"] == "zero-shot") & (frame["benchmark"] == "Wins")].iloc[0]
    assert (row["score"], row["metric"], row["n_items"], row["status"]) == (75.0, "wins", 4, "done")
    verdicts(path, [0, 0, 0, 1])
    status = cell_status(experiment, Files(tmp_path), FIRST)
    assert status.by_benchmark == done | {"Wins": "stale"}
    assert status.reasons[0].setting == "judge/m/zero-shot.jsonl"
    assert statuses(tmp_path, an_import(metric=None)) == done | {"Wins": "stale"}


def test_missing_import_needs_no_deleted_weights(tmp_path: Path) -> None:
    experiment = an_experiment(
        runtime={"retention": "scores"}, references=["full"], evaluation={"benchmarks": ASKED | {"Wins": WINS}}
    )
    full = Cell("m", "full", None, 0)
    shared_files(tmp_path, experiment)
    finish(tmp_path, full, 50.0, 60.0, experiment=experiment)
    weights = tmp_path / "trained/m/full/seed0/model"
    if weights.is_dir():
        weights.rmdir()
    status = cell_status(experiment, Files(tmp_path), full)
    assert status.by_benchmark == {"A": "done", "B": "done", "Wins": "missing"}
    assert (status.reasons, status.awaits) == ([], "import_scores")
