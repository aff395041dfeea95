"""`prunegrid status`: what it prints of results folders made by hand, and its exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prunegrid import status
from prunegrid.cli import app
from prunegrid.core import locks
from prunegrid.core.step import lock_path
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import AVERAGE
from prunegrid.results import collect
from prunegrid.status import Files
from prunegrid.status.text import SLURM_HINT, stale_lines
from support.programs import program
from support.results_folder import an_experiment, finish, put, rows, shared_files

Say = Callable[..., tuple[Any, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """The command's exit code and what it printed."""

    def say(experiment: Path | str) -> tuple[Any, str]:
        try:
            app.main(["status", str(experiment)])
            code: Any = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().out

    return say


def made(folder: Path, experiment: Experiment, finished: bool = True) -> Path:
    put(folder / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(folder, experiment)
    for cell in grid.cells(experiment) if finished else ():
        finish(folder, cell, 10, 20, experiment=experiment)
    return folder


@contextmanager
def held(log: Path, text: str = "") -> Iterator[None]:
    """The step of this log runs, as far as others can see."""
    put(log, text)
    descriptor = locks.acquire(lock_path(log))
    assert descriptor
    yield
    os.close(descriptor)


def counts(text: str) -> dict[str, int]:
    actual = re.findall(r"^  (done|stale|running|missing|failed) +(\d+)$", text, re.MULTILINE)
    return {word: int(count) for word, count in actual if count != "0"}


def section(text: str, title: str) -> list[str]:
    """The lines below a title, up to the next blank one."""
    return text.partition(f"\n\n{title}\n")[2].partition("\n\n")[0].splitlines()


def test_status_shows_failures_with_rule_log_and_last_lines(root: Path, say: Say) -> None:
    train = root / "logs/train/m/s0.125-t0.5/q0"
    put(train / "seed0.log", "step 1\nstep 2\nstep 3\nFAILED: CUDA out of memory\n\n")
    code, text = say(root)
    assert code == 1
    assert text.startswith(f"{root}: 9 cells, 2 benchmarks each\n")
    assert counts(text) == {"done": 5, "missing": 2, "failed": 2}
    assert section(text, "failed") == [
        "  train, m/s0.125-t0.5/q0/seed0: CUDA out of memory",
        f"    {train}/seed0.log",
        "    | step 2",
        "    | step 3",
        "  train, m/s0.125-t0.5/q0/seed1: killed without an error message",
        f"    {train}/seed1.log",
        "    | step 1",
    ]
    assert section(text, "missing") == ["  1 waiting for evaluate", "  1 waiting for train"]
    assert not section(text, "stale") and not section(text, "running")


def test_status_of_finished_cells_exits_with_0(tmp_path: Path, say: Say) -> None:
    code, text = say(made(tmp_path, an_experiment()))
    assert (code, counts(text)) == (0, {"done": 9})
    assert "snakemake" not in text


def test_status_shows_an_error_of_several_lines(tmp_path: Path, say: Say) -> None:
    made(tmp_path, an_experiment(), finished=False)
    put(tmp_path / "logs/evaluate/m/zero-shot.log", "asking\nFAILED: two things:\nthis and\nthat\n")
    assert section(say(tmp_path)[1], "failed")[::2] == [
        "  evaluate, m/zero-shot: two things: this and that",
        "    | asking",
    ]


@pytest.mark.parametrize(
    ("log", "rule", "behind"),
    [
        ("model/m.log", "model", 9),
        ("dataset.log", "dataset", 8),
        ("score/m/1-of-1.log", "score", 8),
        ("gather_scores/m.log", "gather_scores", 8),
        ("benchmark/B.log", "benchmark_items", 9),
    ],
)
def test_status_shows_a_shared_failure_once(tmp_path: Path, say: Say, log: str, rule: str, behind: int) -> None:
    made(tmp_path, an_experiment())
    put(tmp_path / "logs" / log, "FAILED: no such file\n")
    code, text = say(tmp_path)
    assert code == 1
    assert counts(text).get("failed") == behind
    assert section(text, "failed") == [f"  {rule}, {behind} cells: no such file", f"    {tmp_path}/logs/{log}"]


def test_status_shows_a_failed_world_first(tmp_path: Path, say: Say) -> None:
    """In an experiment without a sandbox it is a log of something else."""
    put(tmp_path / "logs/world.log", "FAILED: disk full\n")
    made(tmp_path, an_experiment(), finished=False)
    assert counts(say(tmp_path)[1]) == {"missing": 9}
    data = {"hub": "sandbox/sft", "config": "default"}
    sandbox = an_experiment(sandbox={"seed": 0}, dataset={"name": "world", **data})
    made(tmp_path, sandbox, finished=False)
    assert section(say(tmp_path)[1], "failed")[0] == "  world, 9 cells: disk full"


def test_status_shows_running_steps_with_start_and_owner(tmp_path: Path, say: Say) -> None:
    log = made(tmp_path, an_experiment()) / "logs/train/m/full/seed0.log"
    with held(log, "started by somebody\nstep 3\n"):
        os.utime(lock_path(log), (1.75e9, 1.75e9))
        code, text = say(tmp_path)
        frame = collect.collect(an_experiment(), tmp_path)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1.75e9))
    assert (code, counts(text)) == (1, {"done": 8, "running": 1})
    assert section(text, "running") == [
        f"  train, m/full/seed0: since {since}, process {os.getpid()} on {os.uname().nodename}",
        f"    {log}",
    ]
    running = rows(frame, "full", 0)
    assert set(running["status"]) == {"running"}
    assert running["score"].isna().all()
    assert counts(say(tmp_path)[1]) == {"done": 8, "failed": 1}, "the lock is free: it was killed"


def test_status_of_a_step_without_log_is_running(tmp_path: Path, say: Say) -> None:
    log = made(tmp_path, an_experiment()) / "logs/evaluate/m/zero-shot.log"
    with held(log):
        log.unlink()
        assert counts(say(tmp_path)[1]) == {"done": 8, "running": 1}


def test_status_of_a_finished_step_with_a_child_is_done(tmp_path: Path, say: Say) -> None:
    with held(made(tmp_path, an_experiment()) / "logs/train/m/full/seed0.log", "done in 3.0 s\n"):
        assert counts(say(tmp_path)[1]) == {"done": 9}


def test_status_of_cells_ignores_running_shared_steps(tmp_path: Path, say: Say) -> None:
    made(tmp_path, an_experiment(), finished=False)
    (tmp_path / "scores/m/meta.json").unlink()
    with held(tmp_path / "logs/score/m/1-of-1.log"):
        text = say(tmp_path)[1]
    assert counts(text) == {"missing": 9}
    assert section(text, "missing") == ["  1 waiting for evaluate", "  8 waiting for score"]
    assert section(text, "running")[0].startswith("  score: since ")


def test_status_of_a_killed_step_is_failed(tmp_path: Path, say: Say) -> None:
    log = made(tmp_path, an_experiment()) / "logs/evaluate/m/zero-shot.log"
    process = subprocess.Popen(program("run_step", log, "wait", "step 7"))
    try:
        while not (log.exists() and "step 7" in log.read_text()):
            assert process.poll() is None
        text = say(tmp_path)[1]
        assert re.match(rf"  evaluate, m/zero-shot: since .*, process {process.pid} on ", section(text, "running")[0])
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    failed = section(say(tmp_path)[1], "failed")
    assert failed[0] == "  evaluate, m/zero-shot: killed without an error message"
    assert failed[-1] == "    | step 7"
    assert subprocess.run(program("run_step", log, "say", "step 7"), check=False).returncode == 0
    assert counts(say(tmp_path)[1]) == {"done": 9}


def test_status_groups_stale_cells_by_reason(tmp_path: Path, say: Say) -> None:
    made(tmp_path, an_experiment())
    put(tmp_path / "experiment.json", an_experiment(training={"learning_rate": 1}).model_dump(mode="json"))
    (tmp_path / "pruned/m/s0.125-t0.5/q0/seed0/selection.json").unlink()
    code, text = say(tmp_path)
    assert (code, counts(text)) == (1, {"done": 1, "stale": 8})
    assert section(text, "stale") == [
        "  training.learning_rate was 0.0001, now 1.0: 8 cells",
        "  selection.json is missing: m/s0.125-t0.5/q0/seed0",
    ]


SCORES = {"runtime": {"retention": "scores"}}


def without_weights(folder: Path, experiment: Experiment) -> Path:
    """Every cell is finished and evaluated, and its weights are let go."""
    made(folder, experiment)
    for weights in folder.glob("trained/**/model"):
        weights.rmdir()
    return folder


def test_status_with_deleted_weights_is_done(tmp_path: Path, say: Say) -> None:
    code, text = say(without_weights(tmp_path, an_experiment(**SCORES)))
    assert (code, counts(text)) == (0, {"done": 9})
    assert stale_lines(an_experiment(**SCORES), tmp_path) == []


def test_status_with_deleted_weights_to_keep_is_stale(tmp_path: Path, say: Say) -> None:
    """Their scores are good, and stay in the table."""
    without_weights(tmp_path, an_experiment())
    code, text = say(tmp_path)
    reason = "  weights were deleted, but runtime.retention now keeps them: 8 cells"
    assert (code, counts(text)) == (1, {"done": 1, "stale": 8})
    assert section(text, "stale") == [reason]
    assert stale_lines(an_experiment(), tmp_path)[1:] == [reason]
    assert set(collect.collect(an_experiment(), tmp_path)["status"]) == {"done"}


@pytest.mark.parametrize("lacking", [True, False], ids=["a new benchmark", "another limit"])
def test_status_with_deleted_weights_to_evaluate_is_not_done(tmp_path: Path, say: Say, lacking: bool) -> None:
    without_weights(tmp_path, an_experiment(**SCORES))
    limits = {"A": None, "B": None if lacking else 5}
    data = {"task": "arc_easy", "data": {"path": "d.jsonl"}}
    benchmarks = {name: data | {"limit": limit} for name, limit in limits.items()} | ({"C": data} if lacking else {})
    wanted = an_experiment(**SCORES, evaluation={"benchmarks": benchmarks})
    put(tmp_path / "experiment.json", wanted.model_dump(mode="json"))
    put(tmp_path / "data/benchmarks/C.jsonl", "")
    for summary in tmp_path.glob("pruned/**/selection.json"):
        put(summary.with_suffix(".parquet"), "")
    code, text = say(tmp_path)
    assert (code, counts(text)) == (1, {"missing": 9} if lacking else {"stale": 9})
    assert section(text, "missing") == (["  1 waiting for evaluate", "  8 waiting for train"] if lacking else [])
    reason = "  weights were deleted (runtime.retention), but are needed for evaluation: 8 cells"
    assert reason in section(text, "stale")
    assert reason in stale_lines(wanted, tmp_path)


def test_a_damaged_file_is_named_with_its_repair(tmp_path: Path, say: Say) -> None:
    damaged = made(tmp_path, an_experiment()) / "trained/m/full/seed0/training.json"
    damaged.write_text(damaged.read_text()[:40])
    code, text = say(tmp_path)
    assert code.startswith(f"prunegrid status: {damaged}: not complete JSON") and f"rm {damaged}" in code
    assert not text


def test_status_is_that_of_the_table(root: Path) -> None:
    put(
        root / "evaluation/m/full/seed0/B.json",
        json.dumps(
            {"score": 1}
            | dict.fromkeys(("protocol", "n_items"), "x")
            | dict.fromkeys(("metric", "task", "limit", "dtype"), "x")
        ),
    )
    told = status.all_statuses(an_experiment(), Files(root))
    frame = collect.collect(an_experiment(), root)
    shown = Counter(frame["status"][frame["benchmark"] != AVERAGE])
    assert shown == Counter(word for actual in told.values() for word in actual.by_benchmark.values())
    assert set(shown) == {"done", "missing", "failed", "stale"}
    assert [actual.worst for actual in told.values()] == frame["status"][frame["benchmark"] == AVERAGE].tolist()


CONFIG = Path(__file__).parents[3] / "config.yaml"


@pytest.mark.parametrize(
    ("named", "command"),
    [
        ("config.yaml", "snakemake --cores all"),
        ("./config.yaml", "snakemake --cores all"),
        ("experiments/mine.yaml", "snakemake --cores all --configfile experiments/mine.yaml"),
        ("experiments/my own.yaml", "snakemake --cores all --configfile 'experiments/my own.yaml'"),
        ("results/sandbox", "snakemake --cores all"),
        ("results/mine", "snakemake --cores all --configfile experiments/mine.yaml"),
        ("results/other", "snakemake --cores all --configfile FILE    (FILE: the config with experiment: other)"),
    ],
)
def test_status_shows_the_command_that_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say, named: str, command: str
) -> None:
    text = CONFIG.read_text()
    put(tmp_path / "config.yaml", text)
    for name, file in {"mine": "mine", "own": "my own"}.items():
        put(tmp_path / f"experiments/{file}.yaml", text.replace("experiment: sandbox", f"experiment: '{name}'  # this"))
    for name in ("sandbox", "mine", "other"):
        put(tmp_path / f"results/{name}/experiment.json", an_experiment(experiment=name).model_dump(mode="json"))
    monkeypatch.chdir(tmp_path)
    code, said = say(named)
    assert code == 1
    assert said.endswith(f"\nto run the rest:\n  {command}\n{SLURM_HINT}\n")
    monkeypatch.chdir("/")
    if named.startswith("results"):
        assert say(tmp_path / named)[1].endswith(f"\n  cd {tmp_path} && {command}\n{SLURM_HINT}\n")


def test_status_of_a_thousand_cells(tmp_path: Path, say: Say) -> None:
    """One failed step of each kind, and as many cells behind it as there are; each file is read once."""
    experiment = an_experiment(seeds=list(range(250)))
    made(tmp_path, experiment)
    for seed in range(10):
        put(tmp_path / f"logs/train/m/full/seed{seed}.log", f"FAILED: no {seed}\n")
        (tmp_path / f"evaluation/m/s0.125-t0.5/q0/seed{seed}/A.json").unlink()
    code, text = say(tmp_path)
    assert (code, counts(text)) == (1, {"done": 981, "missing": 10, "failed": 10})
    assert len(section(text, "failed")) == 20
    assert section(text, "missing") == ["  10 waiting for evaluate"]
    put(tmp_path / "logs/score/m/1-of-1.log", "FAILED: out of memory\n")
    code, text = say(tmp_path)
    assert section(text, "failed") == ["  score, 1000 cells: out of memory", f"    {tmp_path}/logs/score/m/1-of-1.log"]


def test_status_reads_no_file_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, an_experiment())
    put(tmp_path / "logs/evaluate/m/zero-shot.log", "done in 1.0 s\n")
    opened: Counter[str] = Counter()
    real = Path.open

    def counted(path: Path, *given: Any, **more: Any) -> Any:
        opened[str(path)] += 1
        return real(path, *given, **more)

    monkeypatch.setattr(Path, "open", counted)
    collect.collect(an_experiment(), tmp_path)
    assert len(opened) > 30 and set(opened.values()) == {1}


def test_status_imports_neither_pandas_nor_torch(tmp_path: Path) -> None:
    made(tmp_path, an_experiment())
    done = subprocess.run(program("cli_imports", "status", tmp_path), capture_output=True, text=True, check=True)
    assert not {"pandas", "torch", "transformers"} & set(done.stdout.split())


def test_benchmark_multiplies_a_finished_experiment(tmp_path: Path) -> None:
    made(tmp_path / "results/tiny", an_experiment(seeds=[0]))
    command = [sys.executable, str(CONFIG.parent / "benchmarks/status.py"), str(tmp_path / "results/tiny")]
    done = subprocess.run([*command, "--cells", "20", "--repeat", "1"], capture_output=True, text=True, check=True)
    actual = json.loads(done.stdout.splitlines()[-1])
    assert actual["cells"] == 1 + 5 * 4, "zero-shot, and five seeds of full and three variants"
    assert set(actual["seconds"]) == {"status", "collect"}
