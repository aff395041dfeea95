"""Engines of an evaluation: what a record says, whose answers the cache gives, what a table refuses.

vLLM itself is tested in test_engine_vllm.
"""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from prunegrid.core import files
from prunegrid.evaluation import engines, fingerprint
from prunegrid.evaluation.cache import EvaluationCache
from prunegrid.evaluation.evaluate import evaluate
from prunegrid.experiment import grid
from prunegrid.results import comparability
from prunegrid.status import Files
from prunegrid.tasks.catalog import find_task
from support.errors import refused
from support.results_folder import an_experiment, finish, shared_files
from support.toy_tasks import toy_benchmark


def versions(**installed: str) -> object:
    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return installed[package]

    return version


def test_a_missing_engine_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "version", versions())
    with refused("evaluation.engine", "vllm", fix="pip install 'prunegrid[vllm]'"):
        evaluate(tmp_path / "no-model", tmp_path, benchmarks={"A": toy_benchmark("arc_easy")}, data={}, engine="vllm")


def test_a_record_names_every_engine_but_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "version", versions(vllm="0.32.0", torch="2.13.0"))
    ours, theirs = (
        fingerprint.code_fingerprint(find_task("harness", "arc_easy")),
        fingerprint.code_fingerprint(find_task("harness", "arc_easy"), "vllm"),
    )
    assert "engine" not in ours and ours["versions"] == {"torch": "2.13.0"}
    assert theirs == ours | {"engine": "vllm", "versions": {"torch": "2.13.0", "vllm": "0.32.0"}}


def test_another_engines_answers_are_not_in_the_cache(tmp_path: Path) -> None:
    import pyarrow as pa

    cache, data = EvaluationCache(tmp_path), {"data": {}, "n_complete": None}
    scores = {"metric": "acc", "filter": "none", "score": 100, "stderr": None, "n_items": 1, "n_truncated": 0}
    record = {**data, **scores, "metrics": {}, "seconds": 1, "fallback": "no compiler"}
    cache.store("A", pa.table({"filter": ["none"], "value": [1.0]}), record)
    cached, state = cache.lookup("A", data)
    assert state == "cached" and cached is not None and cached["fallback"] == "no compiler"
    assert cache.lookup("A", data | {"engine": "vllm"}) == (None, "its cached record has a different engine")


def test_a_table_never_mixes_engines(tmp_path: Path) -> None:
    """Cells that the status would call stale, since the config names one engine."""
    experiment = an_experiment()
    shared_files(tmp_path, experiment)
    cells = grid.cells(experiment)
    for cell in cells:
        finish(tmp_path, cell, 30, 40)
        path = tmp_path / f"evaluation/{cell.model}/{cell.path}/A.json"
        files.write_json(path, files.read_json(path) | {"protocol": "harness", "task": "arc_easy"})
    done = [(cell, "A") for cell in cells]
    comparability.check_comparable(experiment.evaluation, Files(tmp_path), done)
    path = tmp_path / f"evaluation/{cells[0].model}/{cells[0].path}/A.json"
    files.write_json(path, files.read_json(path) | {"engine": "vllm"})
    with refused(tmp_path, 'engine is "transformers" in m/', f'; "vllm" in m/{cells[0].path}', fix="rm "):
        comparability.check_comparable(experiment.evaluation, Files(tmp_path), done)
