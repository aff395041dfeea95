"""Scores of one's own data: a pass that is killed goes on, on one device or several, to the scores of one pass."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from prunegrid.data.datasets import write_dataset
from prunegrid.experiment import layout
from prunegrid.experiment.sections import Dataset, Scoring
from prunegrid.scoring import user_data
from prunegrid.scoring.score import Scorer, score
from prunegrid.scoring.user_data import score_data
from support.errors import refused

SHARDS = 24
SETTINGS = Scoring(max_length=256, batch_tokens=600)
TABLES = (layout.SAMPLES, layout.TOKENS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 samples: enough for a pass of some seconds."""
    file = tmp_path_factory.mktemp("rows") / "mine.jsonl"
    texts = ({"prompt": f"What is {i}?", "response": f"{i} is it. " * (1 + i % 12)} for i in range(1200))
    file.write_text("".join(json.dumps(row) + "\n" for row in texts))
    return file


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, rows: Path) -> Path:
    """The scores of one pass over all samples, as the workflow's rule makes them."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    writer(rows)(folder / layout.DATA, folder / layout.DATA_COUNTS)
    score(tiny_model, folder / layout.DATA, folder, SETTINGS)
    return folder


def writer(rows: Path) -> user_data.WriteData:
    return partial(write_dataset, Dataset(name="data", path=str(rows)), str(rows))


def command(model: Path, rows: Path, out: Path, *more: str) -> list[str]:
    words = ["score", "--model", str(model), "--data", str(rows), "--out", str(out), "--threads", "1"]
    settings = ["--max-length", "256", "--batch-tokens", "600", "--shards", str(SHARDS)]
    return [sys.executable, "-m", "prunegrid.cli", *words, *settings, *more]


def finished(out: Path) -> set[str]:
    return {file.name for file in (out / layout.PASS / "shards").glob("*.parquet")}


def wait_for_shards(process: subprocess.Popen[str], out: Path, count: int) -> None:
    while len(finished(out)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def assert_same_scores(folder: Path, other: Path) -> None:
    for name in TABLES:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    metas = [json.loads((path / layout.META).read_text()) for path in (folder, other)]
    for key in ("digests", "samples", "tokens", "positions", "padding_waste", "head", "left_out"):
        assert metas[0][key] == metas[1][key], key


def test_killed_pass_goes_on_and_gives_the_scores_of_one_pass(
    tiny_model: Path, rows: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    out = tmp_path / "scores"
    process = subprocess.Popen(command(tiny_model, rows, out), stderr=subprocess.PIPE, text=True)
    wait_for_shards(process, out, 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = finished(out)
    assert 3 <= len(before) < SHARDS
    assert not any((out / name).exists() for name in TABLES)

    calls: list[int] = []
    original = Scorer.__call__

    def counted(self: Scorer, *arguments: Any) -> Any:
        calls.append(len(arguments[0]))
        return original(self, *arguments)

    monkeypatch.setattr(Scorer, "__call__", counted)
    meta = score_data(tiny_model, writer(rows), out, SETTINGS)
    assert len(calls) == SHARDS - len(before)
    assert f"{len(before)} of {SHARDS} shards are scored" in capsys.readouterr().err
    assert meta["shards"] == SHARDS
    assert_same_scores(out, uninterrupted)
    names = {*TABLES, layout.META, layout.DATA, layout.DATA_COUNTS, layout.TOKENIZER}
    assert {file.name for file in out.iterdir()} == names


def test_several_devices_give_the_scores_of_one(
    tiny_model: Path, rows: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    meta = score_data(tiny_model, writer(rows), tmp_path / "s", SETTINGS, devices=("cpu", "cpu"), threads=2)
    assert meta["shards"] == 8
    assert_same_scores(tmp_path / "s", uninterrupted)


def test_shard_of_a_killed_worker_is_scored_by_another(
    tiny_model: Path, rows: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    line = command(tiny_model, rows, out, "--devices", "cpu,cpu")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_shards(process, out, 2)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(workers[0]), signal.SIGKILL)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert "device cpu: its process was ended by signal 9" in errors
    assert_same_scores(out, uninterrupted)


def test_workers_that_all_fail_are_one_line_with_a_log(tiny_model: Path, rows: Path, tmp_path: Path) -> None:
    """Their model is damaged after it was read for its digests."""
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))

    def write_and_damage(data: Path, counts: Path) -> None:
        writer(rows)(data, counts)
        (model / "model.safetensors").write_bytes(b"")

    out = tmp_path / "scores"
    with refused("device cpu", "cannot load the model", "worker-0.log", "8 of 8 shards", fix="repeat the command"):
        score_data(model, write_and_damage, out, SETTINGS, devices=("cpu", "cpu"), shards=8)
    assert "cannot load the model" in (out / layout.PASS / "worker-0.log").read_text()
