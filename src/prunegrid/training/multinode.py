"""How a training job of several nodes of a Slurm allocation is started: one launcher a node, by srun (see `node`)."""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.training.job import Job
from prunegrid.training.signals import STOP_SIGNALS

SRUN_SIGNAL = signal.SIGUSR1  # srun hands it to its tasks; at SIGTERM it kills them unwarned, at SIGINT it asks back
GRACE_SECONDS = 300
# How long torchrun waits for its ranks after a signal. PyTorch 2.13 reads it; 2.11 waits 30 seconds, whatever it says.
GRACE_ENVIRONMENT = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(GRACE_SECONDS)}
ALLOCATION = "SLURM_JOB_ID"


def check_allocation(nodes: int) -> None:
    """Raise unless this process may start others on `nodes` nodes."""
    if nodes > 1 and not (os.environ.get(ALLOCATION) and shutil.which("srun")):
        raise PrunegridError(
            f"runtime.nodes is {nodes}, but this process is in no Slurm allocation with srun: submit with "
            "--profile profiles/slurm (docs/cluster.md), or set runtime.nodes to 1"
        )


def command(job: Job, worker: str, spec: Path) -> list[str]:
    """The launch line of a job of several nodes; Slurm is told every count, for it inherits none."""
    nodes, ranks = job.runtime.nodes, job.ranks_per_node
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "--mem=0"]
    srun += [f"--cpus-per-task={job.threads}", *([f"--gres=gpu:{ranks}"] if job.device == "cuda" else [])]
    own = [
        sys.executable,
        "-m",
        "prunegrid.training.node_launcher",
        str(ranks),
        socket.gethostname(),
        str(_free_port()),
    ]
    return [*srun, *own, worker, str(spec)]


def torchrun(ranks: int, meeting: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """torchrun for one node's ranks, which it lets end by themselves when a signal asks for an end (see `GRACE_ENVIRONMENT`)."""
    signals = ",".join(number.name for number in STOP_SIGNALS)
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
    return [*launcher, *meeting, f"--signals-to-handle={signals}", "-m", *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
