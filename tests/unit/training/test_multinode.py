"""Training on several nodes: what is refused before it starts, and what Slurm and torchrun are told."""

import os
from pathlib import Path
from typing import Any

import pytest

from prunegrid.experiment import config
from prunegrid.experiment.training import Runtime, Training
from prunegrid.training import Job, multinode
from support.errors import refused
from support.results_folder import an_experiment


def job(device: str = "cpu", **settings: Any) -> Job:
    return Job(
        model=Path("m"),
        scores=Path("s"),
        training=Training(ranks=8),
        runtime=Runtime(nodes=2),
        seed=0,
        device=device,
        threads=4,
        **settings,
    )


def test_ranks_are_a_multiple_of_nodes() -> None:
    with refused("config.yaml", "training.ranks (3)", "runtime.nodes (2)", fix=""):
        an_experiment(training={"ranks": 3}, runtime={"nodes": 2})
    assert an_experiment(training={"ranks": 4}, runtime={"nodes": 2}).runtime.nodes == 2


def test_outside_an_allocation_several_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with refused("runtime.nodes", 2, fix="--profile profiles/slurm"):
        multinode.check_allocation(2)
    multinode.check_allocation(1)


def test_slurm_starts_one_launcher_a_node() -> None:
    line = multinode.command(job(), "worker", Path("order.json"))
    own = line.index("prunegrid.training.node_launcher")
    assert line[0] == "srun"
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=4"} < set(line[:own])
    assert not [option for option in line if "gres" in option]
    assert line[own + 1] == "4" and line[own + 2] == os.uname().nodename and line[own + 4 :] == ["worker", "order.json"]


def test_gpus_are_asked_for_by_node() -> None:
    assert "--gres=gpu:4" in multinode.command(job("cuda"), "worker", Path("order.json"))


def test_an_experiment_that_names_no_nodes_has_one() -> None:
    assert config.Experiment.model_fields["runtime"].default.nodes == 1
