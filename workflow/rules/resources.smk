# What a job asks of its machine, by rule: one place for all of them. Memory follows the size of the experiment
# (prunegrid/plan/memory.py); a job that failed asks for more in its next attempt. What is a cluster's own (partitions,
# accounts, GPU models) stands in its profile.
from prunegrid.plan import memory

MARGIN = 1.5
LEAST_MB = 2_000
# Minutes of a first attempt, on a model of 7 billion parameters where there is one.
MINUTES = {
    "score": 240,
    "extra_score": 240,
    "train": 480,
    "evaluate": 240,
    "model": 120,
    "collect": 60,
}
OTHERS = 30
SMALL = ("dataset", "benchmark_items", "prune")
ON_A_GPU = ("score", "extra_score", "evaluate") if ON_GPU else ()
NODES = EXPERIMENT.runtime.nodes
RANKS = EXPERIMENT.training.ranks // NODES


def needs(name):
    """The resources of a rule's jobs; memory in MiB of one node, runtime in minutes."""
    own = {
        "disk_mb": 1_000,  # Snakemake's own default adds up the sizes of all inputs: a quarter of a dry run
        "mem_mb": lambda wildcards, attempt: attempt * memory_mb(name, wildcards),
        "runtime": lambda wildcards, attempt: attempt * MINUTES.get(name, OTHERS),
    }
    if name == "train":
        return own | training_on_nodes()
    if name in SMALL:  # of a group's jobs, a profile says how many run at a time
        return own | {"small": 1}
    return own | ({"gpu": 1, "nodes": 1} if name in ON_A_GPU else {})


def memory_mb(name, wildcards):
    try:
        peak = memory.peak_mb(name, EXPERIMENT, getattr(wildcards, "model", None))
    except PrunegridError as error:
        raise WorkflowError(str(error)) from None
    return max(LEAST_MB, round(MARGIN * peak))


def training_on_nodes():
    """On one node torchrun starts the ranks; on several Slurm starts a torchrun on each (prunegrid/train/node.py)."""
    if NODES == 1:
        return {"gpu": RANKS, "nodes": 1} if ON_GPU else {"nodes": 1}
    several = {"nodes": NODES, "tasks": NODES, "mpi": "srun"}
    return several | ({"gres": f"gpu:{RANKS}", "tasks_per_gpu": 0} if ON_GPU else {})
