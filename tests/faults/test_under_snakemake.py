"""Snakemake itself killed, interrupted or started twice; and what it makes of jobs that a disk refuses."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core.locks import is_held
from prunegrid.core.step import lock_path
from support.fault_runs import (
    CONFIG,
    R,
    Run,
    Whole,
    copy_run,
    digest,
    disk_full,
    faulty_environment,
    files,
    on_a_small_disk,
    output,
    remove_files,
    run,
    targets,
)
from support.snakemake_runs import CORES, command, snakemake

NO_ROOM = "^prunegrid: .*(No space left|could not save)"


@pytest.fixture
def folder(whole: Whole, tmp_path: Path) -> Path:
    """A finished run but for one selection and what is made of it."""
    folder = copy_run(whole.folder, tmp_path / "run")
    remove_files(folder, whole.jobs_by_rule["prune"].outputs)
    return folder


def _heed_interrupts() -> None:
    """A shell's background job ignores Ctrl-C, and so would all that its tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running_job(folder: Path, **faulty: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Snakemake, whose prune job is writing its output until the file `marker` is removed, or the block ends."""
    marker = folder / "marker"
    variables = faulty_environment(jobs={"prune": ["slow", str(marker)]}, **faulty)
    with (folder / "terminal").open("wb") as terminal:
        line = command(folder, "--cores", CORES, "--notemp", "all")
        process = subprocess.Popen(
            line, env=variables, stdout=terminal, stderr=terminal, start_new_session=True, preexec_fn=_heed_interrupts
        )
        until = time.monotonic() + 60
        while not marker.exists():
            assert process.poll() is None and time.monotonic() < until, (folder / "terminal").read_text()
            time.sleep(0.05)
        try:
            yield process
        finally:
            marker.unlink(missing_ok=True)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_whole(outcome: Run, folder: Path, whole: Whole) -> None:
    assert outcome.code == 0, outcome.text[-3000:]
    assert digest(folder) == whole.digest
    assert not [name for name in files(folder) if name.endswith(".tmp")]


def test_two_snakemakes(whole: Whole, folder: Path) -> None:
    """The second is refused, an experiment of its own is not, and the first one knows nothing of either."""
    with running_job(folder, warm=whole.warm) as first:
        second = run(folder, "all", warm=whole.warm)
        assert second.code != 0
        assert "LockException" in second.text and "can be removed with the --unlock argument" in second.text
        assert first.poll() is None
        line = ["--directory", str(folder), "--cores", "1", "results/other/experiment.json"]
        third = snakemake(folder.parent, *line, config=CONFIG | {"experiment": "other"})
        assert third.returncode == 0, third.stderr
        (folder / "marker").unlink()
        assert first.wait() == 0
    is_whole(run(folder, "all", warm=whole.warm), folder, whole)


def test_snakemake_killed(whole: Whole, folder: Path) -> None:
    """Its job outlives it, and keeps a second one of its kind out until it has ended."""
    log = folder / whole.jobs_by_rule["prune"].log
    with running_job(folder, warm=whole.warm) as process:
        process.kill()
        process.wait()
        refused = run(folder, "all", warm=whole.warm)
        assert refused.code != 0 and "LockException" in refused.text
        assert run(folder, "--unlock").code == 0
        assert is_held(lock_path(log))
        again = run(folder, whole.jobs_by_rule["prune"].outputs[0], warm=whole.warm)
        assert again.code != 0
        assert re.search(r"this step is already running \(started by process \d+ on .*\); wait for it", again.text)
        (folder / "marker").unlink()
    while is_held(lock_path(log)):
        time.sleep(0.1)
    is_whole(run(folder, "all", warm=whole.warm), folder, whole)


def test_interrupted(whole: Whole, folder: Path) -> None:
    """Ctrl-C reaches Snakemake and its jobs."""
    before = files(folder)
    with running_job(folder) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    assert not (files(folder) - before) & set(whole.jobs_by_rule["prune"].outputs)
    assert not [name for name in files(folder) if name.endswith(".tmp")]
    is_whole(run(folder, "all", warm=whole.warm), folder, whole)


def test_a_table_of_failed_cells_is_made_again(whole: Whole, folder: Path) -> None:
    """Even where what failed is made alone, by another command, and is what Snakemake knew before."""
    job = whole.jobs_by_rule["evaluate"]
    cache = f"{R}/evaluation/m/zero-shot/cache"
    remove_files(folder, [*job.outputs, cache])
    failed = run(folder, *targets([job]), warm=whole.warm, jobs={"evaluate": ["killed", 1]})
    assert failed.code != 0
    assert digest(folder) != whole.digest
    assert run(folder, *targets([job]), warm=whole.warm).code == 0
    is_whole(run(folder, "all", warm=whole.warm), folder, whole)


def test_the_commands_in_the_messages_mend_all(whole: Whole, folder: Path) -> None:
    """Three damaged files: named, removed as told, and only what makes them and is made of them runs again."""
    items, pruned, trained = (
        next(job for job in whole.jobs if made in job.outputs)
        for made in (
            f"{R}/data/benchmarks/ARC-E.jsonl",
            f"{R}/pruned/m/s0.125-t0.5/random+random/seed0/selection.parquet",
            f"{R}/trained/m/s0.125-t0.5/dynamic/seed0/training.json",
        )
    )
    copy_run(
        whole.folder / Path(whole.jobs_by_rule["prune"].outputs[0]).parent,
        folder / Path(whole.jobs_by_rule["prune"].outputs[0]).parent,
    )
    damaged = [items.outputs[0], output(pruned, "selection.parquet"), f"{trained.outputs[0]}/model.safetensors"]
    for name in damaged:
        os.truncate(folder / name, (folder / name).stat().st_size // 2)
    asking = next(job for job in whole.jobs if job.rule == "evaluate" and trained.outputs[0] in job.inputs)
    remove_files(
        folder, [whole.jobs_by_rule["evaluate"].outputs[0], asking.outputs[0], whole.jobs_by_rule["train"].outputs[1]]
    )
    remove_files(folder, [str(Path(asking.outputs[0]).parent / "cache")])
    failed = run(folder, "all", warm=whole.warm)
    assert failed.code != 0
    commands = set(re.findall(r"in a workflow: (rm [^,]+), then the same snakemake command", failed.text))
    while commands:
        for line in commands:  # of two that name one file the second finds it gone
            subprocess.run(line, shell=True, cwd=folder, check=False)
            assert not [name for name in line.split()[1:] if (folder / name).exists()]
        rerun = run(folder, "all", warm=whole.warm)
        outcome = set(re.findall(r"in a workflow: (rm [^,]+), then the same snakemake command", rerun.text))
        assert not commands & outcome
        commands = outcome
    is_whole(rerun, folder, whole)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting takes root")
def test_the_disk_is_full_under_snakemake(whole: Whole, tmp_path: Path) -> None:
    jobs = [whole.jobs_by_rule[rule] for rule in ("prune", "train", "audit")]
    with on_a_small_disk(whole.folder, tmp_path) as folder:
        remove_files(folder, [name for job in jobs for name in job.outputs])
        before = files(folder)
        with disk_full(folder):
            outcome = run(folder, *targets(jobs), warm=whole.warm)
        assert outcome.code != 0 and "Traceback" not in outcome.text
        for job in jobs:
            assert [line for line in outcome.text.splitlines() if job.log in line and re.search(NO_ROOM, line)], job.log
        assert not (files(folder) - before) & {name for job in jobs for name in job.outputs}
        rerun = run(folder, *targets(jobs), warm=whole.warm)
        assert (rerun.code, rerun.job_counts) == (0, {"prune": 1, "train": 1, "audit": 1})


@pytest.mark.skipif(os.getuid() != 0, reason="mounting takes root")
def test_the_results_are_read_only_under_snakemake(whole: Whole, folder: Path) -> None:
    """To Snakemake, too: it cannot even make the folder of a job's log."""
    mount = f"mount --bind {folder}/results {folder}/results && mount -o remount,bind,ro {folder}/results"
    line = command(folder, "--cores", CORES, whole.jobs_by_rule["prune"].outputs[0])
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *line],
        env=faulty_environment(warm=whole.warm), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr, done.stderr
    outcome = run(folder, whole.jobs_by_rule["prune"].outputs[0], warm=whole.warm)
    assert (outcome.code, outcome.job_counts) == (0, {"prune": 1})
