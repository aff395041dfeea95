"""Which checkpoints are gone on from, which are kept, and who may write them; without any training."""

import fcntl
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import locks
from prunegrid.core.files import write_json
from prunegrid.training import checkpoints, out_of_memory, processes, signals
from support.errors import refused
from support.programs import program

IDENTITY: dict[str, Any] = {"training": {"ranks": 2, "zero_stage": 3}, "seed": 0}


def save(folder: Path, step: int, identity: dict[str, Any] = IDENTITY) -> Path:
    inner = checkpoints.saving_folder(folder, step) / "global_step"
    inner.mkdir(parents=True)
    (inner / "weights.pt").write_text("x" * 100)
    checkpoints.commit(folder, step, identity)
    return folder / f"checkpoint-{step}"


def test_newest_checkpoint_of_the_same_job_is_resumed(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path, IDENTITY) is None
    save(tmp_path, 9)
    tenth = save(tmp_path, 10)
    assert checkpoints.newest(tmp_path, IDENTITY) == tenth
    assert checkpoints.saved_progress(tmp_path, IDENTITY) == "the checkpoint of step 10 is intact"
    assert checkpoints.saved_progress(tmp_path, {**IDENTITY, "seed": 1}) == "there is no checkpoint yet"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda c: (c / "global_step/weights.pt").write_text("x" * 60),
            "weights.pt is truncated or changed: 60 of 100",
        ),
        (lambda c: (c / "global_step/weights.pt").unlink(), "global_step/weights.pt is missing"),
        (lambda c: (c / "complete.json").unlink(), "its complete.json is missing or damaged"),
        (lambda c: (c / "complete.json").write_text('{"files": {'), "its complete.json is missing or damaged"),
        (lambda c: (c / "complete.json").write_text("[]"), "its complete.json is missing or damaged"),
    ],
)
def test_damaged_checkpoint_is_refused_for_an_older_one(
    damage: Any, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = save(tmp_path, 2)
    newer = save(tmp_path, 4)
    damage(newer)
    assert checkpoints.newest(tmp_path, IDENTITY) == older
    assert f"{newer}: not resumed from: " in (line := capsys.readouterr().err) and reason in line


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        ({**IDENTITY, "training": {"ranks": 1, "zero_stage": 3}}, "it was made with training.ranks 1 instead of 2"),
        ({**IDENTITY, "seed": 1}, "it was made with seed 1 instead of 0"),
        ({**IDENTITY, "digests": {"model": "a"}}, "it was made with digests.model a instead of None"),
    ],
)
def test_another_jobs_checkpoint_is_refused_and_removed_later(
    identity: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = save(tmp_path, 100, identity)
    assert checkpoints.newest(tmp_path, IDENTITY) is None
    assert f"{foreign}: not resumed from: {reason}\n" == capsys.readouterr().err
    ours = save(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [ours]


def test_last_two_checkpoints_stay(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-8"]


def test_damaged_checkpoint_does_not_count_among_the_two(tmp_path: Path) -> None:
    save(tmp_path, 2)
    (save(tmp_path, 4) / "global_step/weights.pt").unlink()
    save(tmp_path, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-6"]


def test_unfinished_checkpoint_is_ignored_and_removed(tmp_path: Path) -> None:
    stale = checkpoints.saving_folder(tmp_path, 4) / "rank7.pt"
    stale.parent.mkdir()
    stale.touch()
    assert checkpoints.newest(tmp_path, IDENTITY) is None
    checkpoints.remove_unfinished(tmp_path)
    assert not (save(tmp_path, 4) / "rank7.pt").exists()


def test_failed_save_leaves_the_other_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 2)
    save(tmp_path, 4)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_sync", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 6)
    assert checkpoints.newest(tmp_path, IDENTITY) == tmp_path / "checkpoint-4"


def test_second_job_is_refused_and_names_who_holds_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "wait_seconds", lambda: 0)
    who = f"process {os.getpid()} on {os.uname().nodename}"
    with checkpoints.cell_lock(tmp_path), refused(tmp_path, who, fix="stop it"), checkpoints.cell_lock(tmp_path):
        pass
    with checkpoints.cell_lock(tmp_path):
        pass


def test_job_waits_for_a_rank_that_still_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "wait_seconds", lambda: 60)
    with checkpoints.cell_lock(tmp_path):
        rank = checkpoints.share_lock(tmp_path)
    threading.Timer(0.5, os.close, [rank]).start()
    with checkpoints.cell_lock(tmp_path) as lock:
        assert checkpoints.wait_for_ranks(lock, 0)


def test_rank_that_outlives_its_launcher_holds_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the lock by itself, not by a descriptor that it was handed."""
    monkeypatch.setattr(locks, "wait_seconds", lambda: 0)
    with checkpoints.cell_lock(tmp_path) as lock:
        rank = subprocess.Popen(program("rank_lock", tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert rank.stdout and rank.stdin and rank.stdout.readline() == b"here\n"
        assert not checkpoints.wait_for_ranks(lock, 0.1)
    with refused(tmp_path, "training this cell"), checkpoints.cell_lock(tmp_path):
        pass
    rank.communicate()
    with checkpoints.cell_lock(tmp_path) as lock:
        assert checkpoints.wait_for_ranks(lock, 0)


def test_running_ranks_are_named_with_process_and_host(tmp_path: Path) -> None:
    spec = tmp_path / "order.json"
    checkpoints.sign_in(spec, 0)
    (tmp_path / "rank-1").write_text("process 1 on elsewhere\n")  # it has ended: nobody holds its file
    assert checkpoints.running_ranks(spec) == f"rank-0 (process {os.getpid()} on {os.uname().nodename})"


def test_ranks_learn_that_their_launcher_is_gone(tmp_path: Path) -> None:
    spec = tmp_path / "order.json"
    spec.touch()
    with spec.open() as seen:
        with spec.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert not processes.launcher_is_gone(seen.fileno())
        assert processes.launcher_is_gone(seen.fileno())


def test_a_job_in_a_thread_leaves_signals_alone() -> None:
    """Python lets only the main thread set handlers."""
    actual: list[Any] = []

    def body() -> None:
        with signals.forwarding() as forwarder:
            actual.append(forwarder.received)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert actual == [[]]


def test_halvings_are_remembered_for_the_same_job_only(tmp_path: Path) -> None:
    write_json(tmp_path / out_of_memory.FILE, {"halvings": 2, "identity": IDENTITY})  # as version 0.1 wrote it
    assert out_of_memory.reductions(tmp_path, IDENTITY) == {"halvings": 2, "checkpointing": False}
    assert out_of_memory.reductions(tmp_path, {**IDENTITY, "seed": 1}) == {}


@pytest.mark.parametrize(
    ("cgroup", "files", "kills"),
    [
        ("0::/slice/job\n", {"/sys/fs/cgroup/slice/job/memory.events": "low 0\noom 5\noom_kill 3\n"}, 3),
        ("1:name=x:/\n0::/\n", {"/sys/fs/cgroup/memory.events": "oom 5\noom_kill 4\noom_group_kill 1\n"}, 4),
        ("0::/gone\n", {"/proc/vmstat": "pgfault 12\noom_kill 7\n"}, 7),
        (None, {"/proc/vmstat": "oom_kill 8\n", "/sys/fs/cgroup/gone/memory.events": "oom_kill 9\n"}, 8),
        ("12:memory:/job\n", {"/proc/vmstat": "oom_kill 6\n"}, 6),
        ("0::/gone\n", {}, 0),
    ],
)
def test_the_kernels_kills_are_counted(
    cgroup: str | None, files: dict[str, str], kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this job's own group where the kernel tells, else of the machine."""

    def fake_path(*parts: str) -> Path:
        return tmp_path / str(Path(*parts)).lstrip("/")

    given = files if cgroup is None else {**files, "/proc/self/cgroup": cgroup}
    for name, text in given.items():
        fake_path(name).parent.mkdir(parents=True, exist_ok=True)
        fake_path(name).write_text(text)
    monkeypatch.setattr(out_of_memory, "Path", fake_path)
    assert out_of_memory.kernel_kills() == kills
