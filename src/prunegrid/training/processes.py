"""Start the ranks of a training job, and wait until all of them have ended."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prunegrid.core import gpus
from prunegrid.core.errors import PrunegridError
from prunegrid.training import auto_checkpointing, checkpoints, multinode, out_of_memory
from prunegrid.training.job import Job, Order
from prunegrid.training.signals import forwarding

WORKER = "prunegrid.training.worker"
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


class ExitStatus(NamedTuple):
    """How the ranks ended: their launcher's exit code, and what may explain it."""

    code: int = 0
    kernel_killed: bool = False
    stop_signal: int | None = None


def run_ranks(order: Order, spec: Path, lock: int) -> ExitStatus:
    """Start the ranks with the order in `spec` and wait for them; they stop once `spec` is unlocked (see below).

    `lock` is the descriptor of the cell's lock, which the ranks share.
    """
    job, kills = order.job, out_of_memory.kernel_kills()
    several_nodes = job.runtime.nodes > 1
    gpu_count = job.training.ranks if job.device == "cuda" and not several_nodes else 0  # else each node takes its own
    with (
        gpus.reserve(gpu_count, slots=job.sharers) as own_gpus,
        forwarding(sent_as=multinode.SRUN_SIGNAL if several_nodes else None) as signals,
    ):
        order.checkpointing = order.checkpointing or auto_checkpointing.is_needed(job, own_gpus.ids)
        spec.write_text(order.model_dump_json())
        with spec.open("r+") as alive:  # writable: NFS grants an exclusive lock only then
            fcntl.flock(alive, fcntl.LOCK_EX)
            environment = {**rank_environment(job), **own_gpus.environment}
            descriptors = [lock, *own_gpus.fds]
            line = launch_line(job, spec)
            process = subprocess.Popen(line, env=environment, pass_fds=descriptors, start_new_session=True)
            signals.attach(process)
            code = process.wait()
        all_ended = checkpoints.wait_for_ranks(lock, multinode.GRACE_SECONDS)
    if not all_ended:
        ranks = checkpoints.running_ranks(spec)
        problem = f"the ranks' launcher ended with exit code {code}, but these still run: {ranks}"
        raise PrunegridError(order.checkpoints, problem, "kill them")
    return ExitStatus(code, out_of_memory.kernel_kills() > kills, next(iter(signals.received), None))


def launcher_is_gone(spec: int) -> bool:
    """Whether the launcher has ended, which locks the file of this descriptor while it waits for the ranks."""
    try:
        fcntl.flock(spec, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def launch_line(job: Job, spec: Path) -> list[str]:
    if job.runtime.nodes > 1:
        return multinode.command(job, WORKER, spec)
    return command(job.training.ranks, [WORKER, str(spec)])


def command(ranks: int, arguments: Sequence[str]) -> list[str]:
    """One node's launch line: one rank needs no launcher, several need torchrun."""
    if ranks == 1:
        return [sys.executable, "-m", *arguments]
    return multinode.torchrun(ranks, ["--standalone"], arguments)


def rank_environment(job: Job) -> dict[str, str]:
    ranks, package = job.training.ranks, str(Path(__file__).parents[2])
    variables = {
        "OMP_NUM_THREADS": str(max(1, job.threads // job.ranks_per_node)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
    }
    if ranks == 1:
        variables |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    else:
        variables |= multinode.GRACE_ENVIRONMENT
    if job.device == "cpu":
        variables["DS_ACCELERATOR"] = "cpu"
    else:
        variables |= gpus.allocator_environment()
    if job.training.deterministic:
        variables[CUBLAS] = os.environ.get(CUBLAS, ":4096:8")  # cuBLAS is deterministic with a fixed workspace
    return {**os.environ, **variables}
