"""An evaluation goes on benchmark by benchmark: what is kept, what is asked again, after an end in the middle."""

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
from prunegrid.evaluation import cache, items
from prunegrid.evaluation.evaluate import evaluate
from support.programs import program
from support.toy_tasks import ask

THREE = {"A": ask("arc_easy"), "S": ask("squadv2"), "C": ask("arc_challenge")}
WEIGHTS = {"weights": "w"}


@pytest.fixture
def files(data: dict[str, Path]) -> dict[str, Path]:
    return {name: data[benchmark.task] for name, benchmark in THREE.items()}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The benchmarks that a model is asked from here on."""
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


def test_after_an_error_the_others_only_are_asked(
    toy_model: Path,
    files: dict[str, Path],
    tmp_path: Path,
    asked: list[str],
    undisturbed: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in the workflow, the declared files are removed in between."""
    keep = cache.EvaluationCache.store

    def fails_at_the_second(self: cache.EvaluationCache, name: str, *rest: Any) -> dict[str, Any]:
        if name == "S":
            raise RuntimeError("out of memory")
        return keep(self, name, *rest)

    monkeypatch.setattr(cache.EvaluationCache, "store", fails_at_the_second)
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(toy_model, tmp_path, benchmarks=THREE, data=files, digests=WEIGHTS)
    monkeypatch.setattr(cache.EvaluationCache, "store", keep)
    assert asked == ["A", "S"]
    for file in tmp_path.glob("*.*"):
        file.unlink()
    asked.clear()
    capsys.readouterr()
    records = evaluate(toy_model, tmp_path, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert asked == ["S", "C"]
    assert list(records) == list(THREE)
    assert timeless(records) == timeless(undisturbed)
    for name, record in records.items():
        assert json.loads((tmp_path / f"{name}.json").read_text()) == record
        assert (tmp_path / f"{name}.parquet").is_file()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "A: kept",
        "S: to be asked",
        "C: to be asked",
        "S: asked",
        "C: asked",
    ]


def test_after_a_kill_the_others_only_are_asked(
    toy_model: Path,
    files: dict[str, Path],
    tmp_path: Path,
    asked: list[str],
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
    assert asked == ["S", "C"]
    assert timeless(records) == timeless(undisturbed)


@pytest.fixture
def whole(toy_model: Path, files: dict[str, Path], tmp_path: Path) -> Path:
    evaluate(toy_model, tmp_path, benchmarks=THREE, data=files, digests=WEIGHTS)
    return tmp_path


def test_no_model_is_loaded_where_all_is_kept(
    whole: Path, files: dict[str, Path], undisturbed: dict[str, dict[str, Any]]
) -> None:
    before = {file.name: file.read_bytes() for file in whole.glob("*.*")}
    for file in whole.glob("*.*"):
        file.unlink()
    gone = whole / "no-model"
    records = evaluate(gone, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert timeless(records) == timeless(undisturbed)
    assert {file.name: file.read_bytes() for file in whole.glob("*.*")} == before


def test_a_new_benchmark_is_asked_alone_and_one_that_left_costs_nothing_to_come_back(
    toy_model: Path, whole: Path, files: dict[str, Path], data: dict[str, Path], asked: list[str]
) -> None:
    asked.clear()
    more = {"A": THREE["A"], "T": ask("triviaqa")}
    evaluate(toy_model, whole, benchmarks=more, data={**files, "T": data["triviaqa"]}, digests=WEIGHTS)
    assert asked == ["T"]
    evaluate(whole / "no-model", whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert asked == ["T"]


def of_another_limit(given: dict[str, Any]) -> None:
    given["benchmarks"] = THREE | {"S": ask("squadv2", 2)}


def of_other_weights(given: dict[str, Any]) -> None:
    given["digests"] = {"weights": "other"}


def of_another_dtype(given: dict[str, Any]) -> None:
    given["dtype"] = "bfloat16"


def of_another_protocol(given: dict[str, Any]) -> None:
    given["protocol"] = "paper"
    given["benchmarks"] = {"S": THREE["S"]}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (of_another_limit, ["S"]),
        (of_other_weights, ["A", "S", "C"]),
        (of_another_dtype, ["A", "S", "C"]),
        (of_another_protocol, ["S"]),
    ],
)
def test_what_is_asked_again(
    change: Callable[[dict[str, Any]], None],
    again: list[str],
    toy_model: Path,
    whole: Path,
    files: dict[str, Path],
    asked: list[str],
) -> None:
    asked.clear()
    given: dict[str, Any] = {"benchmarks": THREE, "data": files, "digests": WEIGHTS}
    change(given)
    evaluate(toy_model, whole, **given)
    assert asked == again


def test_without_digests_all_is_asked_again(
    toy_model: Path, files: dict[str, Path], tmp_path: Path, asked: list[str]
) -> None:
    """Nothing would tell another model's answers from these."""
    one = {"A": THREE["A"]}
    for _ in range(2):
        evaluate(toy_model, tmp_path, benchmarks=one, data=files)
    assert asked == ["A", "A"]


def test_changed_items_are_asked_again(
    toy_model: Path, whole: Path, files: dict[str, Path], asked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    asked.clear()
    fewer = tmp_path_factory.mktemp("fewer") / "squad.jsonl"
    fewer.write_text("".join(files["S"].read_text().splitlines(keepends=True)[:2]))
    records = evaluate(toy_model, whole, benchmarks=THREE, data={**files, "S": fewer}, digests=WEIGHTS)
    assert asked == ["S"]
    assert records["S"]["n_available"] == 2


def cut(path: Path) -> None:
    os.truncate(path, 100)


@pytest.mark.parametrize("damage", [cut, Path.unlink])
@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_a_damaged_kept_file_is_asked_again(
    damage: Callable[[Path], None], suffix: str, toy_model: Path, whole: Path, files: dict[str, Path], asked: list[str]
) -> None:
    asked.clear()
    damage(whole / f"asked/S.{suffix}")
    evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert asked == ["S"]
    pq.read_table(whole / "S.parquet")


def test_what_is_written_into_an_output_reaches_no_later_run(
    toy_model: Path, whole: Path, files: dict[str, Path], asked: list[str], undisturbed: dict[str, dict[str, Any]]
) -> None:
    """The record is a copy; the items are a link, whose digest tells."""
    asked.clear()
    assert (whole / "S.parquet").samefile(whole / "asked/S.parquet")
    record = json.loads((whole / "S.json").read_text())
    (whole / "S.json").write_text(json.dumps(record | {"score": 99.0}))
    (whole / "C.parquet").write_bytes(b"PAR1")
    records = evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert asked == ["C"]
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
def test_a_kept_record_that_is_not_of_its_items_is_damaged(
    change: Callable[[dict[str, Any]], Any],
    toy_model: Path,
    whole: Path,
    files: dict[str, Path],
    asked: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked.clear()
    path = whole / "asked/S.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert asked == ["S"]
    assert "S: to be asked, its kept record is damaged" in capsys.readouterr().out


def test_a_new_version_of_the_step_asks_all_again(
    toy_model: Path, whole: Path, files: dict[str, Path], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.clear()
    monkeypatch.setitem(versions.STEP, "evaluate", versions.STEP["evaluate"] + 1)
    records = evaluate(toy_model, whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert asked == list(THREE)
    assert {record["step"] for record in records.values()} == {versions.STEP["evaluate"]}


def test_what_is_said_of_the_data_is_brought_up_to_date_and_nothing_asked(
    toy_model: Path, files: dict[str, Path], tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known count that was corrected, or the same file by another name; the rest of the record stays."""
    one = {"A": ask("arc_easy", hub="allenai/ai2_arc", config="ARC-Easy", split="validation")}
    (first,) = evaluate(toy_model, tmp_path, benchmarks=one, data=files, digests=WEIGHTS).values()
    assert first["n_complete"] == 570
    spec = items.read_task("harness", "arc_easy")
    spec["metadata"]["complete"][0] |= {"rows": 571, "items": 571}
    with monkeypatch.context() as patch:
        patch.setattr(items, "read_task", lambda *_: spec)
        (corrected,) = evaluate(toy_model, tmp_path, benchmarks=one, data=files, digests=WEIGHTS).values()
    assert corrected == first | {"n_complete": 571}
    (moved,) = evaluate(toy_model, tmp_path, benchmarks={"A": THREE["A"]}, data=files, digests=WEIGHTS).values()
    assert moved == first | {"n_complete": None, "data": THREE["A"].data.model_dump(mode="json")}
    assert json.loads((tmp_path / "A.json").read_text()) == moved
    assert asked == ["A"]


def test_copies_where_links_fail(whole: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (whole / "S.parquet").unlink()

    def refused(*_: Any) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refused)
    evaluate(whole / "no-model", whole, benchmarks=THREE, data=files, digests=WEIGHTS)
    assert (whole / "S.parquet").read_bytes() == (whole / "asked/S.parquet").read_bytes()
    assert not (whole / "S.parquet").samefile(whole / "asked/S.parquet")
