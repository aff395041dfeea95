"""Training on several nodes of a Slurm allocation: one launcher a node under srun, torchrun inside, its ranks below.

`launch` runs on the first node and starts, on every node,

    srun --ntasks-per-node=1 ... python -m prunegrid.train.node RANKS ADDRESS PORT WORKER ORDER.json

All ranks meet at the first node (ADDRESS and PORT); the folder with ORDER.json is on the file system they share.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prunegrid import devices
from prunegrid.errors import PrunegridError

if TYPE_CHECKING:
    from prunegrid.train.launch import Job

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
GRACE_SECONDS = 300
SCRATCH = ".launch-"
ALLOCATION = "SLURM_JOB_ID"


def check_allocation(nodes: int) -> None:
    """Raise unless this process may start others on `nodes` nodes."""
    if nodes > 1 and not (os.environ.get(ALLOCATION) and shutil.which("srun")):
        raise PrunegridError(
            f"runtime.nodes is {nodes}, but this process is in no Slurm allocation with srun: submit with "
            "--workflow-profile workflow/profiles/slurm (docs/cluster.md), or set runtime.nodes to 1"
        )


def command(job: "Job", worker: str, spec: Path) -> list[str]:
    """The launch line of a job of several nodes; Slurm is told every count, for it inherits none."""
    nodes, ranks = job.runtime.nodes, job.ranks_per_node
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "--mem=0"]
    srun += [f"--cpus-per-task={job.threads}", *([f"--gres=gpu:{ranks}"] if job.device == "cuda" else [])]
    own = [sys.executable, "-m", "prunegrid.train.node", str(ranks), socket.gethostname(), str(_free_port())]
    return [*srun, *own, worker, str(spec)]


def torchrun(ranks: int, meeting: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """torchrun for one node's ranks, which it lets end by themselves when a signal asks for an end."""
    signals = ",".join(number.name for number in FORWARDED)
    waiting = [f"--signals-to-handle={signals}", f"--shutdown-timeout={GRACE_SECONDS}"]
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
    return [*launcher, *meeting, *waiting, "-m", *arguments]


def main(ranks: int, address: str, port: str, arguments: Sequence[str]) -> int:
    """Be this node's launcher, which holds the node's GPUs; return torchrun's exit code."""
    nodes, number = os.environ["SLURM_STEP_NUM_NODES"], os.environ["SLURM_NODEID"]
    meeting = [f"--nnodes={nodes}", f"--node-rank={number}", f"--master-addr={address}", f"--master-port={port}"]
    on_gpu = os.environ.get("DS_ACCELERATOR") != "cpu"
    with devices.taken(ranks if on_gpu else 0) as mine:
        environment = os.environ | (mine.environment if on_gpu else {})
        return _run(torchrun(ranks, meeting, arguments), environment)


def _run(line: list[str], environment: dict[str, str]) -> int:
    """Wait for torchrun; srun gives signals to all of a task's processes, so torchrun has its own."""
    for number in FORWARDED:
        signal.signal(number, lambda *_: None)
    return subprocess.run(line, env=environment, check=False).returncode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
