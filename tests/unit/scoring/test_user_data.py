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

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from prunegrid.core import locks
from prunegrid.core.versions import STEP
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment import layout
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import Scoring
from prunegrid.models import describe, load_tokenizer, template_digest
from prunegrid.models.hub import find_model
from prunegrid.models.size import stored_size
from prunegrid.pruners import Needs
from prunegrid.scoring import target, user_data
from prunegrid.scoring.devices import device_kind
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.pass_folder import PassFolder
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.rendering import refused_answers
from prunegrid.scoring.score import Scorer, score
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.user_data import score_data
from support.errors import refused
from support.tiny_llama import TEMPLATE

SHARDS = 24
SETTINGS = Scoring(max_length=256, batch_tokens=600)
TABLES = (layout.SAMPLES, layout.TOKENS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """800 samples: enough for a pass of some seconds."""
    file = tmp_path_factory.mktemp("rows") / "mine.jsonl"
    texts = ({"prompt": f"What is {i}?", "response": f"{i} is it. " * (1 + i % 12)} for i in range(800))
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Eight samples."""
    file = tmp_path / "few.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"What is {i}?", "response": f"{i}."}) + "\n" for i in range(8)))
    return file


def test_conversations_stay_whole_in_shards(tiny_model: Path, tmp_path: Path) -> None:
    """Conversations of one to three answers, each read in one sequence."""
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "It is so, and so."}]
    file = tmp_path / "conversations.jsonl"
    file.write_text("".join(json.dumps({"messages": turns * (1 + i % 3)}) + "\n" for i in range(30)))
    write = partial(write_dataset, Dataset(name="data", path=str(file), turns="all"), str(file))
    folder, settings = tmp_path / "pass", Scoring(max_length=200, batch_tokens=100)
    folder.mkdir()
    write(folder / layout.DATA, folder / layout.DATA_COUNTS)
    score(tiny_model, folder / layout.DATA, folder, settings)
    meta = score_data(tiny_model, write, tmp_path / "scores", settings, shards=4)
    assert (meta["samples"], meta["shards"]) == (60, 4)
    assert sum(pq.read_table(folder / layout.SAMPLES)["continues"].to_pylist()) == 30
    assert_same_scores(tmp_path / "scores", folder)


def test_other_settings_start_anew(tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """The pass is interrupted behind its first shard."""
    out = tmp_path / "scores"
    add = PassFolder.add

    def interrupted(*arguments: Any) -> None:
        add(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(PassFolder, "add", interrupted)
    settings = Scoring(max_length=40, batch_tokens=40)
    with pytest.raises(KeyboardInterrupt):
        score_data(tiny_model, writer(few), out, settings, shards=3)
    assert len(finished(out)) == 1
    monkeypatch.setattr(PassFolder, "add", add)
    score_data(tiny_model, writer(few), out, settings.model_copy(update={"max_length": 30}), shards=3)
    assert "starts over: the interrupted pass had a different scoring" in capsys.readouterr().err
    assert json.loads((out / layout.META).read_text())["max_length"] == 30
    assert not (out / layout.PASS).exists()


def test_scores_of_another_package_stay_and_of_another_step_do_not(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores"
    first = score_data(tiny_model, writer(few), out, SETTINGS)
    older = {key: value for key, value in first.items() if key != "step"} | {"version": "0.1.0"}
    (out / layout.META).write_text(json.dumps(older))
    assert score_data(tiny_model, writer(few), out, SETTINGS) == older
    monkeypatch.setitem(STEP, "score", first["step"] + 1)
    assert score_data(tiny_model, writer(few), out, SETTINGS)["step"] == first["step"] + 1


def test_scores_that_are_there_stay_with_their_extra_scores(
    tiny_model: Path, few: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "scores"
    first = score_data(tiny_model, writer(few), out, SETTINGS)
    (out / layout.EXTRA).mkdir()
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert score_data(tiny_model, writer(few), out, SETTINGS) == first
    assert "already" in capsys.readouterr().err
    assert {file.name: file.stat().st_mtime_ns for file in out.iterdir()} == before
    other = Scoring(max_length=20)
    with refused(out, "extra/", fix="--out"):
        score_data(tiny_model, writer(few), out, other)
    (out / layout.EXTRA).rmdir()
    assert score_data(tiny_model, writer(few), out, other)["max_length"] == 20


def test_damaged_scores_are_made_again(tiny_model: Path, few: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    score_data(tiny_model, writer(few), out, SETTINGS)
    whole = (out / layout.TOKENS).read_bytes()
    (out / layout.TOKENS).write_bytes(whole[:-20])
    score_data(tiny_model, writer(few), out, SETTINGS)
    assert (out / layout.TOKENS).read_bytes() == whole


def test_chosen_template_is_scored_and_saved(tiny_model: Path, few: Path, tmp_path: Path) -> None:
    template = TEMPLATE.replace("Question", "{{ 'Ask' if short else 'Question' }}")
    out = tmp_path / "scores"
    meta = score_data(
        tiny_model, writer(few), out, SETTINGS, chat_template=template, chat_template_kwargs={"short": True}
    )
    scores = ScoresFolder(out)
    tokenizer = load_tokenizer(scores.tokenizer_dir())
    assert tokenizer.decode(scores.sequences().ids(3)[0]) == "Ask: What is 3?\nAnswer:"
    assert meta["digests"]["template"] == template_digest(tokenizer.chat_template)
    assert meta["digests"]["template"] != describe(tiny_model)["digests"]["template"]
    assert tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == "Ask: x\nAnswer:"
    write_extra("ifd", out, tiny_model, scores.extra_file("ifd"), Scoring())
    assert np.isfinite(scores.read_samples(Needs(samples={"ifd": "ifd"}, tokens={})).samples["ifd"]).all()


def test_scores_without_refused_rows_are_not_those_of_a_call_that_stops_at_them(
    tiny_model: Path, tmp_path: Path, capsys: Any
) -> None:
    file, out = tmp_path / "mine.jsonl", tmp_path / "scores"
    rows = [{"prompt": "a?", "response": "b."}, {"prompt": "bad?", "response": "c."}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    template = "{% if 'bad' in messages[0].content %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    skipping = partial(write_dataset, Dataset(name="data", path=str(file), on_bad_row="skip"), str(file))
    meta = score_data(tiny_model, skipping, out, SETTINGS, chat_template=template)
    assert meta["samples"] == 1 and refused_answers(meta) == 1
    with refused(f"{file}:2", "no", fix="--on-bad-row skip"):
        score_data(tiny_model, writer(file), out, SETTINGS, chat_template=template)
    assert score_data(tiny_model, skipping, out, SETTINGS, chat_template=template) == meta


def test_disk_without_room_is_refused_and_nothing_is_left(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(target, "free_bytes", lambda path: 1000)
    out = tmp_path / "kept" / "scores"
    with refused(out, "GB", fix="free disk space"):
        score_data(tiny_model, writer(few), out, SETTINGS)
    assert not out.parent.exists()


def test_folder_that_another_command_writes_is_refused(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.0)
    out = tmp_path / "scores"
    with target.hold(out), refused(out, "another command", str(os.getpid()), fix="wait for it"):
        score_data(tiny_model, writer(few), out, SETTINGS)


@pytest.mark.parametrize("name", ["few.jsonl", "few.jsonl/scores"], ids=["file", "in-a-file"])
def test_folder_that_cannot_be_made_is_refused(tiny_model: Path, few: Path, tmp_path: Path, name: str) -> None:
    with refused(tmp_path / name, fix="--out"):
        score_data(tiny_model, writer(few), tmp_path / name, SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["few.jsonl"]


@pytest.mark.parametrize(
    ("devices", "what"),
    [
        (["cpu", "0"], "two precisions"),
        (["7"], "no GPU 7"),
        (["3", "3"], "GPU 3 twice"),
        (["cuda"] * 3, "3 GPU(s) are needed"),
        ([], "no device"),
    ],
    ids=["mixed", "missing", "twice", "many", "none"],
)
def test_devices_that_cannot_score_are_refused(devices: list[str], what: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    with refused(f"devices {','.join(devices)}", what):
        device_kind(devices)
    assert device_kind(["3", "4"]) == "cuda"


def test_memory_that_is_full_is_one_line(tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def fills(*_: Any) -> Any:
        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Scorer, "__call__", fills)
    with refused("device cpu", "no memory for a batch of 600 tokens", fix="--batch-tokens"):
        score_data(tiny_model, writer(few), tmp_path / "scores", SETTINGS)


@pytest.fixture
def hub_cache(tmp_path: Path, tiny_model: Path, monkeypatch: Any) -> str:
    """The commit of `org/tiny`, which huggingface_hub's cache holds; there is no network."""
    from huggingface_hub import constants

    commit = "f" * 40
    repository = tmp_path / "cache" / "models--org--tiny"
    shutil.copytree(tiny_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return commit


def test_model_of_the_hub_is_scored_from_its_cache(hub_cache: str, few: Path, tmp_path: Path) -> None:
    meta = score_data("org/tiny", writer(few), tmp_path / "scores", SETTINGS)
    assert meta["model"] == {"source": "org/tiny", "commit": hub_cache}
    with refused(tmp_path / "scores" / layout.SAMPLES, "ifd", fix=f"--model org/tiny@{hub_cache} --scores"):
        ScoresFolder(tmp_path / "scores").read_samples(Needs(samples={"ifd": "ifd"}, tokens={}))
    assert find_model(f"org/tiny@{hub_cache}")[0].name == hub_cache


def test_model_that_is_nowhere_is_one_line(hub_cache: str, few: Path, tmp_path: Path) -> None:
    with refused("org/small", "no such folder", "hub", fix="offline"):
        score_data("org/small", writer(few), tmp_path / "scores", SETTINGS)
    with refused("models", "no such folder"):
        score_data("models", writer(few), tmp_path / "scores", SETTINGS)
    assert not (tmp_path / "scores").exists()


def test_usual_shards_are_a_minute_of_work(tiny_model: Path, monkeypatch: Any) -> None:
    """The work of a token is two operations for each parameter."""
    parameters = stored_size(tiny_model).count
    sequences = Sequences(*(np.array([n]) for n in (0, 40, 60, False)), np.zeros(100, np.int32))
    monkeypatch.setitem(user_data.SHARD_FLOPS, "cpu", 2 * parameters * 100 / 2.5)
    assert user_data.usual_shards(tiny_model, sequences, "cpu", 1) == 3
    assert user_data.usual_shards(tiny_model, sequences, "cpu", 2) == 8
    assert user_data.usual_shards(tiny_model, sequences, "cuda", 1) == 1
    monkeypatch.setitem(user_data.SHARD_FLOPS, "cpu", 1.0)
    assert user_data.usual_shards(tiny_model, sequences, "cpu", 1) == user_data.MOST_SHARDS
