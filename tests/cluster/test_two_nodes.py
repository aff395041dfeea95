"""A training of four ranks on two nodes, two on each, ends with the weights of one rank on this machine."""

import shlex
import shutil
from pathlib import Path

from prunegrid.core.files import read_json
from prunegrid.experiment.training import Runtime, Training
from prunegrid.training import Job
from support import slurm_runs
from support.killed_jobs import SETTINGS, Inputs, assert_same_weights, checkpoint_steps
from support.private_slurm import GPU_MODEL, PrivateSlurm
from support.programs import program
from support.snakemake_runs import ROOT

CELL = Path("results/sandbox/trained/sandbox-1M/full/seed0")
SAME_BATCH = {"ranks": 4, "zero_stage": 2, "per_device_train_batch_size": 1}
ON_BOTH = {"set-resources": {"train": {"slurm_partition": "gpu", "gres": f"gpu:{GPU_MODEL}:2", "tasks_per_gpu": 0}}}


def test_two_nodes_train_as_one(undisturbed: Path, slurm: PrivateSlurm, tmp_path: Path) -> None:
    folder, before = tmp_path / "run", set(slurm.jobs())
    shutil.copytree(undisturbed, folder, symlinks=True)
    shutil.rmtree(folder / CELL)
    changes = {
        "training": slurm_runs.CONFIG["training"] | SAME_BATCH,
        "runtime": slurm_runs.CONFIG["runtime"] | {"nodes": 2},
    }
    target = str(CELL / "training.json")
    slurm_runs.run(slurm, folder, target, "--rerun-triggers", "params", "input", mine=ON_BOTH, **changes)

    (job,) = set(slurm.jobs("completed")) - before
    assert slurm.detail(job, "NodeList") == "n[1-2]"
    assert slurm.detail(job, "TresPerNode") == f"gres:gpu:{GPU_MODEL}:2"
    several, one = (read_json(path / CELL / "training.json") for path in (folder, undisturbed))
    assert (several["training"]["ranks"], one["training"]["ranks"]) == (4, 1)
    assert several["trained_tokens"] == one["trained_tokens"]
    assert_same_weights(folder / CELL, undisturbed / CELL, exact=False)


def test_a_stop_reaches_the_ranks_of_all_nodes(inputs: Inputs, slurm: PrivateSlurm, tmp_path: Path) -> None:
    """srun would kill them, had it got the launcher's SIGTERM: they save first."""
    job = Job(
        model=inputs.model,
        scores=inputs.scores,
        training=Training(**(SETTINGS | {"num_train_epochs": 10_000, "ranks": 2})),
        runtime=Runtime(save_steps=100_000, report_to=["tensorboard"], nodes=2),
        seed=0,
    )
    (tmp_path / "job.json").write_text(job.model_dump_json())
    line = f"PYTHONPATH={ROOT / 'src'} exec {shlex.join(program('train_job'))}"
    asked = ["--parsable", "--nodes=2", "--ntasks=2", f"--chdir={tmp_path}", "--output=log", "--wrap", line]
    number = slurm.call("sbatch", *asked).strip()
    slurm.wait_for(lambda: any((tmp_path / "tensorboard").rglob("events*")), "first steps", 120)
    slurm.call("scancel", "--batch", "--signal=TERM", number)
    slurm.wait_for(lambda: slurm.detail(int(number), "JobState") == "FAILED", "stopped job", 60)
    (saved,) = checkpoint_steps(tmp_path)
    assert f"after step {saved} of" in (tmp_path / "log").read_text()
