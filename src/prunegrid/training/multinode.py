"""Training on several nodes of a Slurm allocation: srun starts one launcher a node (`node_launcher`)."""

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

SRUN_SIGNAL = signal.SIGUSR1  # srun passes it to its tasks; at SIGTERM it kills them at once, at SIGINT it asks first
GRACE_SECONDS = 300
# How long torchrun waits for its ranks after a signal. PyTorch 2.13 reads it; 2.11 always waits 30 seconds.
GRACE_ENVIRONMENT = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(GRACE_SECONDS)}
ALLOCATION = "SLURM_JOB_ID"


def check_allocation(nodes: int) -> None:
    """Raise unless this process can start others on `nodes` nodes."""
    if nodes > 1 and not (os.environ.get(ALLOCATION) and shutil.which("srun")):
        fix = "submit with --profile profiles/slurm (docs/how-to/cluster.md), or set runtime.nodes to 1"
        raise PrunegridError("runtime.nodes", f"is {nodes}, but this process is in no Slurm allocation with srun", fix)


def command(job: Job, worker: str, spec: Path) -> list[str]:
    """The launch line of a job on several nodes. Slurm needs every count, since a step inherits none."""
    nodes, ranks = job.runtime.nodes, job.ranks_per_node
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "--mem=0"]
    srun += [f"--cpus-per-task={job.threads}", *([f"--gres=gpu:{ranks}"] if job.device == "cuda" else [])]
    launcher = [sys.executable, "-m", "prunegrid.training.node_launcher", str(ranks)]
    return [*srun, *launcher, socket.gethostname(), str(_free_port()), worker, str(spec)]


def torchrun(ranks: int, rendezvous: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """torchrun for one node's ranks; after a stop signal it waits for them to end (`GRACE_ENVIRONMENT`)."""
    signals = ",".join(number.name for number in STOP_SIGNALS)
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
    return [*launcher, *rendezvous, f"--signals-to-handle={signals}", "-m", *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
