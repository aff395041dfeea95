"""The frame around a script, in a process of its own: it takes over standard output."""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import locks
from prunegrid.core.scheduler import JOB_VARIABLES
from prunegrid.core.step import lock_path
from support.errors import refused
from support.programs import program


def script(folder: Path, *action: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program("run_step", "log", *action), cwd=folder, capture_output=True, text=True, check=False)


def test_step_collects_garbage_rarely(tmp_path: Path) -> None:
    done = script(tmp_path, "garbage")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    _, output, last_line = (tmp_path / "log").read_text().splitlines()
    assert output == "True 10000"
    assert last_line.startswith("done in ")


def test_failed_step_is_one_line_with_a_traceback_in_the_log(tmp_path: Path) -> None:
    done = script(tmp_path, "fail")
    assert (done.returncode, done.stderr) == (1, "prunegrid: OSError: disk full (log: log)\n")
    log = (tmp_path / "log").read_text()
    assert "Traceback" in log
    assert log.endswith("FAILED: OSError: disk full\n")


def test_step_without_an_extra_says_what_to_install(tmp_path: Path) -> None:
    done = script(tmp_path, "lack an extra")
    line = 'lm_eval: is not installed; run pip install "prunegrid[eval]"'
    assert (done.returncode, done.stderr) == (1, f"prunegrid: {line} (log: log)\n")
    assert (tmp_path / "log").read_text().endswith(f"FAILED: {line}\n")


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    """Start a step whose body prints `begun`, and wait until it did."""
    started = []

    def begin(action: str = "wait", **environment: str) -> subprocess.Popen[str]:
        environment = os.environ | environment
        process = subprocess.Popen(
            program("run_step", "log", action), cwd=tmp_path, env=environment, text=True, start_new_session=True
        )
        started.append(process)
        while "begun" not in ((tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""):
            assert process.poll() is None
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_log_begins_with_process_host_and_scheduler_job(begin: Start, tmp_path: Path) -> None:
    process = begin(SLURM_JOB_ID="1204")
    who = f"process {process.pid} on {os.uname().nodename}, job 1204"
    assert (tmp_path / "log").read_text().splitlines()[0] == f"started by {who}"
    assert locks.holder(lock_path(tmp_path / "log")) == who


@pytest.mark.parametrize("removed", [False, True], ids=["as it is", "log removed, as Snakemake does"])
def test_step_that_is_running_is_refused(begin: Start, tmp_path: Path, removed: bool) -> None:
    process = begin()
    if removed:
        (tmp_path / "log").unlink()
    before = names(tmp_path)
    second = script(tmp_path, "say", "the second")
    assert second.returncode == 1
    assert second.stderr == (
        f"prunegrid: log: this step is already running (started by process {process.pid} on {os.uname().nodename}); "
        "wait for it, or stop it\n"
    )
    assert names(tmp_path) == before
    assert removed or "the second" not in (tmp_path / "log").read_text()


def test_killed_step_is_released(begin: Start, tmp_path: Path) -> None:
    process = begin()
    assert locks.is_held(lock_path(tmp_path / "log"))
    process.kill()
    process.wait()
    assert not locks.is_held(lock_path(tmp_path / "log"))
    assert script(tmp_path, "say", "the second").returncode == 0
    assert "the second" in (tmp_path / "log").read_text()


def test_child_that_lives_on_keeps_the_step(begin: Start, tmp_path: Path) -> None:
    process = begin("wait in a child")
    process.kill()
    process.wait()
    assert "is already running" in script(tmp_path, "nothing").stderr
    os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not locks.is_held(lock_path(tmp_path / "log")))
    assert script(tmp_path, "nothing").returncode == 0


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_lock_file_is_removed_unless_the_step_failed(tmp_path: Path) -> None:
    script(tmp_path, "nothing")
    assert names(tmp_path) == ["log"]
    script(tmp_path, "fail")
    assert names(tmp_path) == [".log.lock", "log"]
    assert not locks.is_held(lock_path(tmp_path / "log"))


def test_looking_at_a_lock_does_not_stop_the_step(tmp_path: Path) -> None:
    """`prunegrid status` at the very moment."""
    lock = lock_path(tmp_path / "log")
    with lock.open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        process = subprocess.Popen(program("run_step", "log", "nothing"), cwd=tmp_path)
        time.sleep(1)
    assert process.wait() == 0


def test_acquire_of_a_file_removed_meanwhile_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = tmp_path / "lock", []

    def taken_from_a_removed_file(descriptor: int, kind: int) -> bool:
        if not opened:
            path.unlink()
        opened.append(descriptor)
        fcntl.flock(descriptor, kind)
        return True

    monkeypatch.setattr(locks, "try_lock", taken_from_a_removed_file)
    descriptor = locks.acquire(path)
    assert descriptor is not None and len(opened) == 2
    assert os.path.samestat(os.fstat(descriptor), path.stat())
    os.close(descriptor)


@pytest.mark.parametrize("place", ["/sys/log", "/sys/logs/log", "full/log"])
def test_log_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    """Nobody may write below /sys; what is written to /dev/full meets a full disk."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/log").symlink_to("/dev/full")
    line = program("run_step", place, "say", "on and on")
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"prunegrid: {place}: cannot be written (")
    assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_acquire_waits_longer_for_a_requeued_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler starts it at once; else nobody waits for more than a look at the lock takes."""
    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.1)
    before = locks.acquire(tmp_path / "lock")
    assert before is not None and locks.acquire(tmp_path / "lock") is None
    monkeypatch.setenv("SLURM_JOB_ID", "1204")
    assert locks.wait_seconds() == 120
    ends = threading.Timer(1.0, os.close, [before])
    ends.start()
    after = locks.acquire(tmp_path / "lock")
    assert after is not None and ends.finished.is_set()
    os.close(after)


def test_acquire_in_a_folder_removed_meanwhile_makes_it_again(tmp_path: Path) -> None:
    """A training that ends well removes its checkpoints with their lock, for which another one waits."""
    path = tmp_path / "checkpoints/lock"
    before = locks.acquire(path)
    assert before is not None
    waiting = ThreadPoolExecutor(1).submit(locks.acquire, path)
    time.sleep(0.3)
    path.unlink()
    path.parent.rmdir()
    os.close(before)
    descriptor = waiting.result()
    assert descriptor is not None and os.path.samestat(os.fstat(descriptor), path.stat())
    os.close(descriptor)


def test_acquire_on_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with refused(tmp_path / "lock", "flock", "No locks available", fix="Lustre"):
        locks.acquire(tmp_path / "lock")
    assert not locks.is_held(tmp_path / "lock")
