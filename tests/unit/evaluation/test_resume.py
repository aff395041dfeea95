"""An evaluation resumes benchmark by benchmark: what is cached, what is evaluated again, after an interruption."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.core import versions
from prunegrid.evaluation import cache
from prunegrid.evaluation.evaluate import evaluate
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.experiment.layout import EVALUATION_CACHE
from prunegrid.tasks.catalog import find_task
from support.programs import program
from support.toy_tasks import toy_benchmark

THREE = {"A": toy_benchmark("arc_easy"), "S": toy_benchmark("squadv2"), "C": toy_benchmark("arc_challenge")}
WEIGHTS = {"weights": "w"}


@pytest.fixture
def files(data: dict[str, Path]) -> dict[str, Path]:
    return {name: data[benchmark.task] for name, benchmark in THREE.items()}


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The benchmarks that a model is evaluated on from here on."""
    from prunegrid.evaluation import harness

    names: list[str] = []
    run = harness.run

    def counted(lm: Any, name: str, *rest: Any) -> dict[str, Any]:
        names.append(name)
        return run(lm, name, *rest)

    monkeypatch.setattr(harness, "run", counted)
    return names


@pytest.fixture(scope="module")
def undisturbed(
    toy_model: Path, data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    given = {name: data[benchmark.task] for name, benchmark in THREE.items()}
    return evaluate(toy_model, tmp_path_factory.mktemp("whole"), benchmarks=THREE, data=given, digests=WEIGHTS)


def timeless(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**record, "seconds": 0} for name, record in records.items()}


def test_resume_after_an_error_evaluates_the_rest(
    toy_model: Path,
    files: dict[str, Path],
    tmp_path: Path,
    evaluated: list[str],
    undisturbed: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in the workflow, the declared files are removed in between."""
    store = cache.EvaluationCache.store

    def fails_at_the_second(self: cache.EvaluationCache, name: str, *rest: Any) -> dict[str, Any]:
        if name == "S":
            raise RuntimeError("out of memory")
        return store(self, name, *rest)

    monkeypatch.setattr(cache.EvaluationCache, "store", fails_at_the_second)
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(toy_model, tmp_path, benchmarks=THREE, data=files, digests=WEIGHTS)
    monkeypatch.setattr(cache.EvaluationCache, "store", store)
    assert evaluated == ["A", "S"]
    for file in tmp_path.glob("*.*"):
        file.unlink()
    evaluated.clear()
    capsys.readouterr()
    records = evaluate(toy_model, tmp_path, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == ["S", "C"]
    assert list(records) == list(THREE)
    assert timeless(records) == timeless(undisturbed)
    for name, record in records.items():
        assert json.loads((tmp_path / f"{name}.json").read_text()) == record
        assert (tmp_path / f"{name}.parquet").is_file()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "A: cached",
        "S: to be evaluated",
        "C: to be evaluated",
        "S: evaluated",
        "C: evaluated",
    ]


def test_resume_after_a_kill_evaluates_the_rest(
    toy_model: Path,
    files: dict[str, Path],
    tmp_path: Path,
    evaluated: list[str],
    undisturbed: dict[str, dict[str, Any]],
) -> None:
    given = {
        "model": str(toy_model),
        "out": str(tmp_path),
        "benchmarks": {name: benchmark.model_dump() for name, benchmark in THREE.items()},
        "data": {name: str(path) for name, path in files.items()},
        "digests": WEIGHTS,
    }
    done = subprocess.run(program("killed_evaluation", json.dumps(given)), capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert sorted(file.name for file in tmp_path.glob("*.*")) == ["A.json", "A.parquet"]
    records = evaluate(toy_model, tmp_path, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == ["S", "C"]
    assert timeless(records) == timeless(undisturbed)


@pytest.fixture
def whole(toy_model: Path, files: dict[str, Path], tmp_path: Path) -> Path:
    evaluate(toy_model, tmp_path, benchmarks=THREE, data=files, digests=WEIGHTS)
    return tmp_path


def test_resume_with_all_in_the_cache_loads_no_model(
    whole: Path, files: dict[str, Path], undisturbed: dict[str, dict[str, Any]]
) -> None:
    before = {file.name: file.read_bytes() for file in whole.glob("*.*")}
    for file in whole.glob("*.*"):
        file.unlink()
    gone = whole / "no-model"
    records = evaluate(gone, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert timeless(records) == timeless(undisturbed)
    assert {file.name: file.read_bytes() for file in whole.glob("*.*")} == before


def test_resume_evaluates_only_a_new_benchmark(
    toy_model: Path, whole: Path, files: dict[str, Path], data: dict[str, Path], evaluated: list[str]
) -> None:
    evaluated.clear()
    """Those that left the config and come back are still in the cache."""
    more = {"A": THREE["A"], "T": toy_benchmark("triviaqa")}
    evaluate(toy_model, whole, benchmarks=more, data={**files, "T": data["triviaqa"]}, digests=WEIGHTS)
    assert evaluated == ["T"]
    evaluate(whole / "no-model", whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == ["T"]


def change_limit(given: dict[str, Any]) -> None:
    given["benchmarks"] = THREE | {"S": toy_benchmark("squadv2", 2)}


def change_weights(given: dict[str, Any]) -> None:
    given["digests"] = {"weights": "other"}


def change_dtype(given: dict[str, Any]) -> None:
    given["dtype"] = "bfloat16"


def change_protocol(given: dict[str, Any]) -> None:
    given["protocol"] = "paper"
    given["benchmarks"] = {"S": THREE["S"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_limit, ["S"]),
        (change_weights, ["A", "S", "C"]),
        (change_dtype, ["A", "S", "C"]),
        (change_protocol, ["S"]),
    ],
)
def test_a_change_evaluates_what_it_concerns(
    change: Callable[[dict[str, Any]], None],
    expected: list[str],
    toy_model: Path,
    whole: Path,
    files: dict[str, Path],
    evaluated: list[str],
) -> None:
    evaluated.clear()
    given: dict[str, Any] = {"benchmarks": THREE, "data": files, "digests": WEIGHTS}
    change(given)
    evaluate(toy_model, whole, **given)
    assert evaluated == expected


def test_without_digests_the_cache_is_not_read(
    toy_model: Path, files: dict[str, Path], tmp_path: Path, evaluated: list[str]
) -> None:
    """Nothing would tell another model's answers from these."""
    one = {"A": THREE["A"]}
    for _ in range(2):
        evaluate(toy_model, tmp_path, benchmarks=one, data=files)
    assert evaluated == ["A", "A"]


def test_changed_items_are_evaluated_again(
    toy_model: Path, whole: Path, files: dict[str, Path], evaluated: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    evaluated.clear()
    fewer = tmp_path_factory.mktemp("fewer") / "squad.jsonl"
    fewer.write_text("".join(files["S"].read_text().splitlines(keepends=True)[:2]))
    records = evaluate(toy_model, whole, benchmarks=THREE, data={**files, "S": fewer}, digests=WEIGHTS)
    assert evaluated == ["S"]
    assert records["S"]["n_available"] == 2


def cut(path: Path) -> None:
    os.truncate(path, 100)


@pytest.mark.parametrize("damage", [cut, Path.unlink])
@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_a_damaged_cached_file_is_evaluated_again(
    damage: Callable[[Path], None],
    suffix: str,
    toy_model: Path,
    whole: Path,
    files: dict[str, Path],
    evaluated: list[str],
) -> None:
    evaluated.clear()
    damage(whole / EVALUATION_CACHE / f"S.{suffix}")
    evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == ["S"]
    pq.read_table(whole / "S.parquet")


def test_a_changed_output_reaches_no_later_run(
    toy_model: Path, whole: Path, files: dict[str, Path], evaluated: list[str], undisturbed: dict[str, dict[str, Any]]
) -> None:
    """The record is a copy; the items are a link, whose digest tells."""
    evaluated.clear()
    assert (whole / "S.parquet").samefile(whole / EVALUATION_CACHE / "S.parquet")
    record = json.loads((whole / "S.json").read_text())
    (whole / "S.json").write_text(json.dumps(record | {"score": 99.0}))
    (whole / "C.parquet").write_bytes(b"PAR1")
    records = evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == ["C"]
    assert timeless(records) == timeless(undisturbed)
    assert json.loads((whole / "S.json").read_text()) == record


@pytest.mark.parametrize(
    "change",
    [
        lambda record: None,
        lambda record: {key: value for key, value in record.items() if key != "items_hash"},
        lambda record: record | {"score": record["score"] + 0.001},
        lambda record: record | {"score": "high"},
        lambda record: record | {"filter": "nonesuch"},
    ],
)
def test_a_cached_record_that_its_items_contradict_is_damaged(
    change: Callable[[dict[str, Any]], Any],
    toy_model: Path,
    whole: Path,
    files: dict[str, Path],
    evaluated: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluated.clear()
    path = whole / EVALUATION_CACHE / "S.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == ["S"]
    assert "S: to be evaluated, its cached record is damaged" in capsys.readouterr().out


def test_a_new_step_version_evaluates_all_again(
    toy_model: Path, whole: Path, files: dict[str, Path], evaluated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated.clear()
    monkeypatch.setitem(versions.STEP, "evaluate", versions.STEP["evaluate"] + 1)
    records = evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == list(THREE)
    assert {record["step"] for record in records.values()} == {versions.STEP["evaluate"]}


def test_a_cached_record_takes_the_new_data_section(
    toy_model: Path, files: dict[str, Path], tmp_path: Path, evaluated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known count that was corrected, or the same file by another name; the rest of the record stays."""
    one = {"A": toy_benchmark("arc_easy", hub="allenai/ai2_arc", config="ARC-Easy", split="validation")}
    (first,) = evaluate(toy_model, tmp_path, benchmarks=one, data=files, digests=WEIGHTS).values()
    assert first["n_complete"] == 570
    task = find_task("harness", "arc_easy")
    task.metadata["complete"][0] |= {"rows": 571, "items": 571}
    with monkeypatch.context() as patch:
        patch.setattr(Benchmark, "find_task", lambda *_: task)
        (corrected,) = evaluate(toy_model, tmp_path, benchmarks=one, data=files, digests=WEIGHTS).values()
    assert corrected == first | {"n_complete": 571}
    (moved,) = evaluate(toy_model, tmp_path, benchmarks={"A": THREE["A"]}, data=files, digests=WEIGHTS).values()
    assert moved == first | {"n_complete": None, "data": THREE["A"].data.model_dump(mode="json")}
    assert json.loads((tmp_path / "A.json").read_text()) == moved
    assert evaluated == ["A"]


def test_export_copies_where_links_fail(whole: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (whole / "S.parquet").unlink()

    def fail(*_: Any) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", fail)
    evaluate(whole / "no-model", whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert (whole / "S.parquet").read_bytes() == (whole / EVALUATION_CACHE / "S.parquet").read_bytes()
    assert not (whole / "S.parquet").samefile(whole / EVALUATION_CACHE / "S.parquet")


def test_the_cache_of_version_0_1_is_taken_over(whole: Path, files: dict[str, Path], evaluated: list[str]) -> None:
    evaluated.clear()
    (whole / EVALUATION_CACHE).rename(whole / "asked")
    evaluate(whole / "no-model", whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert evaluated == []
    assert not (whole / "asked").exists()


def test_a_cached_record_of_a_former_task_name_counts_as_the_tasks(
    toy_model: Path, files: dict[str, Path], tmp_path: Path, evaluated: list[str]
) -> None:
    """Records name SQuAD's task `squadv2` from before lm-eval's rule got that name."""
    renamed, stock = {"S": toy_benchmark("squadv2_prunegrid")}, {"S": toy_benchmark("squadv2")}
    (first,) = evaluate(toy_model, tmp_path, benchmarks=renamed, data=files, digests=WEIGHTS).values()
    cached = tmp_path / EVALUATION_CACHE / "S.json"
    cached.write_text(json.dumps(first | {"task": "squadv2"}))
    assert evaluate(tmp_path / "no-model", tmp_path, benchmarks=renamed, data=files, digests=WEIGHTS)["S"] == first
    assert json.loads((tmp_path / "S.json").read_text())["task"] == "squadv2_prunegrid"
    assert evaluated == ["S"]
    evaluate(toy_model, tmp_path, benchmarks=stock, data=files, digests=WEIGHTS)
    assert evaluated == ["S", "S"], "lm-eval's rule is another task"
