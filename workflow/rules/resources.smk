# What a job asks of its machine, by rule: one place for all of them. Memory and time follow the size of the experiment
# (prunegrid.plan.memory, minutes); a second attempt asks for half as much again. What is a cluster's own
# (partitions, accounts, GPU models) stands in its profile.
from functools import cache

from prunegrid.plan import memory, minutes

MARGIN = 1.5
LEAST_MB = 2_000
SMALL = ("benchmark_items", "prune", "choose")
SLOTS = EXPERIMENT.runtime.cells_per_gpu  # of a GPU; `gpu` counts GPUs, as schedulers do, `gpu_slots` their slots
ON_A_GPU = ("score", "extra_score", "vector_score", "query_score", "evaluate") if ON_GPU else ()
NODES = EXPERIMENT.runtime.nodes
RANKS = EXPERIMENT.training.ranks // NODES


def needs(name):
    """The resources of a rule's jobs; memory in MiB of one node, runtime in minutes."""
    own = {
        "disk_mb": 1_000,  # Snakemake's own default adds up the sizes of all inputs: a quarter of a dry run
        "mem_mb": lambda wildcards, attempt: grown(memory_mb(name, wildcards.get("model")), attempt),
        "runtime": lambda wildcards, attempt: grown(runtime(name, wildcards.get("model")), attempt),
    }
    if name == "train":
        return own | training_on_nodes()
    if name in SMALL:  # of a group's jobs, a profile says how many run at a time
        return own | {"small": 1}
    return own | ({"gpu": 1, "gpu_slots": 1, "nodes": 1} if name in ON_A_GPU else {})


def grown(first, attempt):
    return first * (1 + attempt) // 2


@cache
def memory_mb(name, model):
    return max(LEAST_MB, round(MARGIN * call(memory.peak_mb, name, EXPERIMENT, model)))


@cache
def runtime(name, model):
    return call(minutes.minutes, name, EXPERIMENT, model)


def training_on_nodes():
    """On one node torchrun starts the ranks; on several, Slurm starts a torchrun on each (training.node_launcher)."""
    if NODES == 1:
        slots = 1 if RANKS == 1 else RANKS * SLOTS
        return {"gpu": RANKS, "gpu_slots": slots, "nodes": 1} if ON_GPU else {"nodes": 1}
    several = {"nodes": NODES, "tasks": NODES, "mpi": "srun"}
    return several | ({"gres": f"gpu:{RANKS}", "tasks_per_gpu": 0} if ON_GPU else {})
