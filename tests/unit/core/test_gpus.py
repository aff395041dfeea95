"""The allocator of GPUs, with ids that no GPU needs: real processes, real locks, real kills."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import gpus, scheduler
from support.errors import refused
from support.programs import program

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def isolated_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder and a pool of this test's own, which the processes that it starts inherit."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    for name in (*scheduler.JOB_VARIABLES, gpus.HOLDER):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that takes `count` devices, or a slot of one, prints their ids and does what `then` says.

    By default it holds them until its standard input closes.
    """
    started: list[subprocess.Popen[str]] = []

    def hold(count: int, then: str = "hold", wait: float | None = 30, slots: int = 1) -> subprocess.Popen[str]:
        order = {"count": count, "then": then, "wait": wait, "slots": slots}
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(program("hold_gpus", json.dumps(order)), text=True, **pipes))
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def ids_of(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout
    return process.stdout.readline().split()


def pool() -> str:
    return f"CUDA_VISIBLE_DEVICES={os.environ[gpus.VISIBLE]}"


def all_busy() -> contextlib.AbstractContextManager[Any]:
    return refused(pool(), "did not become free in 0 s")


def taken_now(count: int, slots: int = 1) -> list[str]:
    with gpus.reserve(count, wait_seconds=0, slots=slots) as reservation:
        return reservation.ids


def eventually_taken(count: int) -> list[str]:
    with gpus.reserve(count, wait_seconds=10) as reservation:
        return reservation.ids


def test_reserve_gives_visible_ids_and_their_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.VISIBLE, "GPU-8932f937-d72c, MIG-GPU-1/2/0,7")
    with gpus.reserve(2) as reservation, gpus.reserve(1) as other:
        assert reservation.ids == ["GPU-8932f937-d72c", "MIG-GPU-1/2/0"]
        assert reservation.environment[gpus.VISIBLE] == "GPU-8932f937-d72c,MIG-GPU-1/2/0"
        assert other.ids == ["7"]
    with gpus.reserve(0) as none:
        assert (none.ids, none.fds) == ([], [])


@pytest.mark.parametrize(("visible", "ids"), [("", []), ("-1", []), ("3,-1,4", ["3"]), ("1, 1,0", ["1", "0"])])
def test_visible_ids_are_those_cuda_sees(visible: str, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.VISIBLE, visible)
    assert gpus.visible_ids() == ids


@pytest.mark.parametrize(
    ("listing", "ids"),
    [
        ("GPU 0: NVIDIA H100 (UUID: GPU-a)\nGPU 1: NVIDIA H100 (UUID: GPU-b)\n", ["0", "1"]),
        ("GPU 0: NVIDIA H100 (UUID: GPU-a)\n  MIG 3g.40gb Device 0: (UUID: MIG-c)\n", ["MIG-c"]),
    ],
)
def test_visible_ids_without_the_variable_are_the_nodes(
    listing: str, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n[ $1 = -L ] && printf '{listing}'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv(gpus.VISIBLE)
    assert gpus.visible_ids() == ids


def test_reserve_too_many_is_one_line() -> None:
    with refused("CUDA_VISIBLE_DEVICES=0,1", "2 GPU(s) (0, 1)", "3 are needed", fix="training.ranks") as error:
        taken_now(3)
    assert "\n" not in str(error.value)


def test_jobs_that_run_together_never_share_a_gpu(start: Start, tmp_path: Path, monkeypatch: Any) -> None:
    """Each job writes who has a device into a file of its own making, which must not exist yet."""
    monkeypatch.setenv(gpus.VISIBLE, "0,1,2,3,4")
    monkeypatch.chdir(tmp_path)
    jobs = [start(count, "own files") for count in (1, 2, 3, 2, 5, 1, 4, 2)]
    for job in jobs:
        ids, complaints = job.communicate(timeout=60)
        assert job.returncode == 0, complaints
        assert len(set(ids.split())) == len(ids.split())


def test_killed_holder_frees_its_gpus(start: Start) -> None:
    holder = start(2)
    assert ids_of(holder) == ["0", "1"]
    with all_busy():
        taken_now(1)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert taken_now(2) == ["0", "1"]


def test_waiting_job_holds_nothing_and_gets_what_is_freed(start: Start) -> None:
    holder = start(1)
    assert ids_of(holder) == ["0"]
    waiter = start(2, "end")
    assert waiter.stderr
    assert waiter.stderr.readline().startswith("prunegrid: waiting for 2 of the GPUs 0, 1 (locks in ")
    assert eventually_taken(1) == ["1"]
    holder.communicate("")
    ids, rest = waiter.communicate(timeout=30)
    assert (ids.split(), rest, waiter.returncode) == (["0", "1"], "", 0)


def test_child_with_the_locks_keeps_gpus_of_a_killed_launcher(start: Start) -> None:
    launcher = start(1, "child with the locks")
    other = start(1, "child without")
    ids, (pid,) = ids_of(launcher), ids_of(launcher)
    others, (other_pid,) = ids_of(other), ids_of(other)
    try:
        for process in (launcher, other):
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert taken_now(1) == others
        with all_busy():
            taken_now(2)
    finally:
        os.kill(int(pid), signal.SIGKILL)
        os.kill(int(other_pid), signal.SIGKILL)
    assert sorted(eventually_taken(2)) == sorted(ids + others)


def test_child_with_the_locks_keeps_gpus_after_the_block() -> None:
    with gpus.reserve(1) as reservation:
        child = subprocess.Popen(["sleep", "60"], pass_fds=reservation.fds)
    try:
        assert taken_now(1) == ["1"]
    finally:
        child.kill()
        child.wait()
    assert taken_now(1) == ["0"]


def test_two_jobs_of_a_scheduler_may_both_have_gpu_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with gpus.reserve(1) as first:
        assert taken_now(1) == ["1"]
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        assert taken_now(1) == first.ids == ["0"]


def test_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    taken_now(1)
    (folder,) = tmp_path.glob("prunegrid-gpus-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with refused(folder, "0700", fix="TMPDIR"):
        taken_now(1)
    folder.chmod(0o700)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with refused(folder, "0700", fix="TMPDIR"):
        taken_now(1)


def test_use_device_on_a_cpu_takes_nothing_on_cuda_one_gpu() -> None:
    with gpus.use_device("cpu"):
        assert os.environ[gpus.VISIBLE] == "0,1"
    with gpus.reserve(1) as other, gpus.use_device("cuda"):
        assert other.ids == ["0"]
        assert os.environ[gpus.VISIBLE] == "1"


def test_slots_fill_distinct_gpus_first(start: Start) -> None:
    holders = [start(1, slots=2) for _ in range(4)]
    ids = [ids_of(holder) for holder in holders]
    assert sorted(ids) == [["0"], ["0"], ["1"], ["1"]]
    with all_busy():
        taken_now(1, slots=2)
    holders[ids.index(["1"])].communicate("")
    assert taken_now(1, slots=2) == ["1"]


def test_slots_of_the_third_job_share(start: Start) -> None:
    assert [ids_of(start(1, slots=3)) for _ in range(3)] == [["0"], ["1"], ["0"]]


def test_job_alone_on_a_gpu_never_shares_it(start: Start) -> None:
    sharer = start(1, slots=4)
    assert ids_of(sharer) == ["0"]
    alone = start(1)
    assert ids_of(alone) == ["1"]
    assert taken_now(1, slots=4) == ["0"], "the GPU that is shared, though it has more jobs"
    with all_busy():
        taken_now(1)
    alone.communicate("")
    with all_busy():
        taken_now(2, slots=4)
    sharer.communicate("")
    assert taken_now(2, slots=4) == ["0", "1"], "a job of several GPUs has them whole"


def test_jobs_of_different_numbers_of_slots_do_not_share(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = start(1, slots=2)
    assert ids_of(holder) == ["0"]
    assert taken_now(1, slots=8) == ["1"]
    monkeypatch.setenv(gpus.VISIBLE, "0")
    with all_busy():
        taken_now(1, slots=8)
    assert taken_now(1, slots=2) == ["0"]
    holder.communicate("")
    assert taken_now(1, slots=8) == ["0"]


def test_killed_sharer_frees_its_slot_unless_a_child_holds_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.VISIBLE, "0")
    stays, goes = start(1, slots=2), start(1, "child with the locks", slots=2)
    assert ids_of(stays) == ids_of(goes) == ["0"]
    (child,) = ids_of(goes)
    goes.kill()
    goes.wait()
    with all_busy():
        taken_now(1, slots=2)
    os.kill(int(child), signal.SIGKILL)
    with gpus.reserve(1, wait_seconds=10, slots=2) as reservation:
        assert reservation.ids == ["0"]
    stays.kill()
    stays.wait()
    assert taken_now(1) == ["0"]


def test_many_jobs_of_all_kinds_end_and_none_is_crowded(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job notes which GPUs it has, alone or as one of so many, and looks who else is there."""
    monkeypatch.chdir(tmp_path)
    kinds = [(1, 3), (2, 1), (1, 1), (1, 3), (1, 2), (1, 3), (2, 1), (1, 2), (1, 3), (1, 1)]
    for job in [start(count, "look around", slots=slots) for count, slots in kinds]:
        _, complaints = job.communicate(timeout=60)
        assert job.returncode == 0, complaints


def test_two_ranks_on_one_gpu_are_refused_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible in ("0", "0,0"):
        monkeypatch.setenv(gpus.VISIBLE, visible)
        with refused(f"CUDA_VISIBLE_DEVICES={visible}", "1 GPU(s) (0)", "2 are needed"):
            taken_now(2, slots=2)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("count", [1, 2])
def test_ranks_get_their_own_jobs_gpus_without_a_wait(count: int, slots: int, start: Start) -> None:
    """Two processes of one job on one card, each of which asks, and asks again inside: neither waits for the job."""
    job = start(count, "ask again", slots=slots)
    ids, complaints = job.communicate(timeout=60)
    assert (job.returncode, complaints) == (0, "")
    assert "".join(ids.splitlines()[1:]) == "00"


def test_child_of_an_ended_job_waits_like_any_other(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with gpus.reserve(1) as reservation:
        environment = reservation.environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    holder = start(1, slots=2)
    assert ids_of(holder) == ["0"]
    with all_busy():
        taken_now(1)
    assert taken_now(1, slots=2) == ["0"]


def test_nested_block_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with gpus.use_device("cuda"), gpus.use_device("cuda"), gpus.reserve(1) as reservation:
        assert reservation.ids == ["0"], "own() tells this process what it has"
        monkeypatch.setenv(gpus.VISIBLE, "0,1")
        with gpus.reserve(1) as repeated:
            assert repeated.ids == ["0"]
        with refused(pool(), "not free", fix="at once"), gpus.reserve(2):
            pass
    monkeypatch.delenv(gpus.HOLDER)
    with gpus.reserve(1), gpus.reserve(1) as second:
        assert second.ids == ["1"], "taken() alone tells it to its children only"
        with refused(pool(), "not free", fix="at once"), gpus.reserve(1):
            pass


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """An nvidia-smi that answers so to the question about memory."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho $* >> {folder}/asked\nprintf '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_memory_bytes_is_that_of_the_smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, "81559\\n40960\\n")
    assert gpus.memory_bytes(["0", "GPU-b"]) == 40960 * 2**20
    assert (tmp_path / "asked").read_text().split()[-1] == "--id=0,GPU-b"


@pytest.mark.parametrize(("ids", "answer"), [(["MIG-a"], "81559\\n"), (["0"], "[N/A]\\n")])
def test_memory_bytes_asks_torch_if_nvidia_smi_cannot_tell(
    ids: list[str], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(tmp_path, monkeypatch, answer)
    assert gpus.memory_bytes(ids) is None, "torch sees no such GPU on this machine"
    assert "torch" not in sys.modules or not sys.modules["torch"].cuda.is_initialized()
