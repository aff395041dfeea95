"""One node's launcher in a training job on several: it runs torchrun, which runs the ranks. `launch`, on the first
node, runs

    srun --ntasks-per-node=1 ... python -m prunegrid.training.node_launcher RANKS ADDRESS PORT WORKER ORDER.json

on every node. All ranks meet at ADDRESS and PORT of the first; ORDER.json is on the file system that they share.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from prunegrid.core import gpus
from prunegrid.training.multinode import GRACE_ENVIRONMENT, torchrun
from prunegrid.training.signals import STOP_SIGNALS


def main(ranks: int, address: str, port: str, arguments: Sequence[str]) -> int:
    """Hold the node's GPUs while torchrun runs; return its exit code."""
    nodes, number = os.environ["SLURM_STEP_NUM_NODES"], os.environ["SLURM_NODEID"]
    rendezvous = [f"--nnodes={nodes}", f"--node-rank={number}", f"--master-addr={address}", f"--master-port={port}"]
    on_gpu = os.environ.get("DS_ACCELERATOR") != "cpu"
    with gpus.reserve(ranks if on_gpu else 0) as reservation:
        environment = os.environ | GRACE_ENVIRONMENT | (reservation.environment if on_gpu else {})
        return _run(torchrun(ranks, rendezvous, arguments), environment)


def _run(line: list[str], environment: dict[str, str]) -> int:
    """Wait for torchrun. It receives signals directly, since srun sends them to all of a task's processes."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    return subprocess.run(line, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
