"""A training of four ranks on two nodes, two on each, ends with the weights of one rank on this machine."""

import shutil
from pathlib import Path

import pytest

import runs
from killed_jobs import assert_same_weights
from private_slurm import GPU_MODEL, PrivateSlurm
from prunegrid.io import read_json

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

CELL = Path("results/sandbox/trained/sandbox-1M/full/seed0")
SAME_BATCH = {"ranks": 4, "zero_stage": 2, "per_device_train_batch_size": 1}
ON_BOTH = {"set-resources": {"train": {"slurm_partition": "gpu", "gres": f"gpu:{GPU_MODEL}:2", "tasks_per_gpu": 0}}}


def test_two_nodes_train_as_one(undisturbed: Path, slurm: PrivateSlurm, tmp_path: Path) -> None:
    folder, before = tmp_path / "run", set(slurm.jobs())
    shutil.copytree(undisturbed, folder, symlinks=True)
    shutil.rmtree(folder / CELL)
    changes = {
        "training": runs.CONFIG["training"] | SAME_BATCH,
        "runtime": runs.CONFIG["runtime"] | {"nodes": 2},
    }
    target = str(CELL / "training.json")
    runs.run(slurm, folder, target, "--rerun-triggers", "params", "input", mine=ON_BOTH, **changes)

    (job,) = set(slurm.jobs("completed")) - before
    assert slurm.detail(job, "NodeList") == "n[1-2]"
    assert slurm.detail(job, "TresPerNode") == f"gres:gpu:{GPU_MODEL}:2"
    several, one = (read_json(path / CELL / "training.json") for path in (folder, undisturbed))
    assert (several["training"]["ranks"], one["training"]["ranks"]) == (4, 1)
    assert several["trained_tokens"] == one["trained_tokens"]
    assert_same_weights(folder / CELL, undisturbed / CELL, exact=False)
