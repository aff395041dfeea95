"""The allocator of GPUs, with ids that no GPU needs: real processes, real locks, real kills."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prunegrid import devices
from prunegrid.errors import PrunegridError

HOLD = """
import sys, time
from prunegrid.devices import taken
with taken({count}, {wait}) as mine:
    print(*mine.ids, flush=True)
    {body}
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder and a pool of this test's own, which the processes that it starts inherit."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    for name in devices.ALLOCATIONS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that takes `count` devices, prints their ids and runs `body`, by default until stdin closes."""
    started: list[subprocess.Popen[str]] = []

    def hold(count: int, body: str = "sys.stdin.read()", wait: float | None = 30) -> subprocess.Popen[str]:
        code = HOLD.format(count=count, body=body, wait=wait)
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", code], text=True, **pipes))
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def ids_of(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout
    return process.stdout.readline().split()


def taken_now(count: int) -> list[str]:
    with devices.taken(count, wait_seconds=0) as mine:
        return mine.ids


def eventually_taken(count: int) -> list[str]:
    with devices.taken(count, wait_seconds=10) as mine:
        return mine.ids


def test_ids_are_the_pools_own_and_the_environment_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "GPU-8932f937-d72c, MIG-GPU-1/2/0,7")
    with devices.taken(2) as mine, devices.taken(1) as other:
        assert mine.ids == ["GPU-8932f937-d72c", "MIG-GPU-1/2/0"]
        assert mine.environment == {"CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c,MIG-GPU-1/2/0"}
        assert other.ids == ["7"]
    with devices.taken(0) as none:
        assert (none.ids, none.fds) == ([], [])


@pytest.mark.parametrize(("visible", "ids"), [("", []), ("-1", []), ("3,-1,4", ["3"]), ("1, 1,0", ["1", "0"])])
def test_the_pool_is_read_as_cuda_reads_it(visible: str, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, visible)
    assert devices.pool() == ids


@pytest.mark.parametrize(
    ("listing", "ids"),
    [
        ("GPU 0: NVIDIA H100 (UUID: GPU-a)\nGPU 1: NVIDIA H100 (UUID: GPU-b)\n", ["0", "1"]),
        ("GPU 0: NVIDIA H100 (UUID: GPU-a)\n  MIG 3g.40gb Device 0: (UUID: MIG-c)\n", ["MIG-c"]),
    ],
)
def test_without_the_variable_the_pool_is_the_node(
    listing: str, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n[ $1 = -L ] && printf '{listing}'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv(devices.VISIBLE)
    assert devices.pool() == ids


def test_too_small_a_pool_is_one_line() -> None:
    with pytest.raises(PrunegridError) as raised:
        taken_now(3)
    message = "3 GPU(s) are needed, but in CUDA_VISIBLE_DEVICES=0,1 there are 2 (0, 1): ask for fewer"
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_jobs_that_run_together_never_share_a_device(start: Start, tmp_path: Path, monkeypatch: Any) -> None:
    """Each job writes who has a device into a file of its own making, which must not exist yet."""
    monkeypatch.setenv(devices.VISIBLE, "0,1,2,3,4")
    body = (
        "owned = [open(f'{i}.owner', 'x') for i in mine.ids]; time.sleep(0.15); "
        "[(file.close(), __import__('os').unlink(file.name)) for file in owned]"
    )
    monkeypatch.chdir(tmp_path)
    jobs = [start(count, body) for count in (1, 2, 3, 2, 5, 1, 4, 2)]
    for job in jobs:
        ids, complaints = job.communicate(timeout=60)
        assert job.returncode == 0, complaints
        assert len(set(ids.split())) == len(ids.split())


def test_a_killed_holder_frees_its_devices(start: Start) -> None:
    holder = start(2)
    assert ids_of(holder) == ["0", "1"]
    with pytest.raises(PrunegridError, match="did not become free in 0 s"):
        taken_now(1)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert taken_now(2) == ["0", "1"]


def test_a_waiter_holds_nothing_says_so_once_and_gets_what_is_freed(start: Start) -> None:
    holder = start(1)
    assert ids_of(holder) == ["0"]
    waiter = start(2, body="pass")
    assert waiter.stderr
    assert waiter.stderr.readline().startswith("prunegrid: waiting for 2 of the GPUs 0, 1 (locks in ")
    assert eventually_taken(1) == ["1"]
    holder.communicate("")
    ids, rest = waiter.communicate(timeout=30)
    assert (ids.split(), rest, waiter.returncode) == (["0", "1"], "", 0)


def test_a_child_that_was_passed_the_locks_keeps_its_devices_when_the_launcher_is_killed(start: Start) -> None:
    child = "child = __import__('subprocess').Popen(['sleep', '60'], pass_fds={fds}); print(child.pid, flush=True)"
    launcher = start(1, child.format(fds="mine.fds") + "; sys.stdin.read()")
    other = start(1, child.format(fds="()") + "; sys.stdin.read()")
    ids, (pid,) = ids_of(launcher), ids_of(launcher)
    others, (other_pid,) = ids_of(other), ids_of(other)
    try:
        for process in (launcher, other):
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert taken_now(1) == others
        with pytest.raises(PrunegridError, match="did not become free"):
            taken_now(2)
    finally:
        os.kill(int(pid), signal.SIGKILL)
        os.kill(int(other_pid), signal.SIGKILL)
    assert sorted(eventually_taken(2)) == sorted(ids + others)


def test_the_end_of_the_block_leaves_a_child_its_device() -> None:
    with devices.taken(1) as mine:
        child = subprocess.Popen(["sleep", "60"], pass_fds=mine.fds)
    try:
        assert taken_now(1) == ["1"]
    finally:
        child.kill()
        child.wait()
    assert taken_now(1) == ["0"]


def test_two_jobs_of_a_scheduler_may_both_have_a_device_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with devices.taken(1) as first:
        assert taken_now(1) == ["1"]
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        assert taken_now(1) == first.ids == ["0"]


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    taken_now(1)
    (folder,) = tmp_path.glob("prunegrid-gpus-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(PrunegridError, match="must be a folder of yours"):
        taken_now(1)
    folder.chmod(0o700)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PrunegridError, match="must be a folder of yours"):
        taken_now(1)


def test_one_process_of_a_cpu_experiment_takes_nothing_and_of_a_cuda_one_sees_its_own_gpu_only() -> None:
    with devices.own("cpu"):
        assert os.environ[devices.VISIBLE] == "0,1"
    with devices.taken(1) as other, devices.own("cuda"):
        assert other.ids == ["0"]
        assert os.environ[devices.VISIBLE] == "1"
