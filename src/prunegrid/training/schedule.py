"""Training arithmetic: which samples each rank sees in which micro-batch of which optimizer step.

Batch sizes count candidates, before pruning: every cell takes as many steps as Full does, and an epoch's kept samples
are spread evenly over them. A conversation that is one sequence is one candidate. In dynamic mode all candidates are
spread, and a micro-batch is the mini-batch that is pruned. Imports no torch: the plan counts steps here.
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.randomness import derive_seed, uniform
from prunegrid.experiment.training import Training
from prunegrid.selection.examples import Example

MicroBatches = list[list[int]]


def steps_per_epoch(candidates: int, training: Training) -> int:
    """Optimizer steps of an epoch: ceil(candidates / global batch), however much was pruned."""
    per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps * training.ranks
    return math.ceil(candidates / per_step)


def total_steps(candidates: int, training: Training) -> int:
    return training.max_steps or steps_per_epoch(candidates, training) * training.num_train_epochs


def schedule(
    sample_id_N: NDArray[np.int64], candidates: int, training: Training, cell_seed: int, rank: int
) -> list[MicroBatches]:
    """For each optimizer step in order, the micro-batches of `rank`: rows of the N samples that are spread.

    A micro-batch is empty only if its step has fewer samples than ranks x accumulation steps (in dynamic mode: at an
    epoch's end).
    """
    steps, micro = steps_per_epoch(candidates, training), training.gradient_accumulation_steps
    seed = derive_seed(cell_seed, "data")
    plan: list[MicroBatches] = []
    for epoch in range(math.ceil(total_steps(candidates, training) / steps)):
        order_N = np.lexsort((sample_id_N, uniform(seed, "order", sample_id_N, epoch=epoch)))
        slots = _slots(order_N, steps, training)
        for step in range(steps):
            # Ranks take turns within a micro-batch, so that all have samples for as long as any has.
            plan.append([slots[(step * micro + m) * training.ranks + rank].tolist() for m in range(micro)])
    return plan[: total_steps(candidates, training)]


def _slots(order_N: NDArray[np.int64], steps: int, training: Training) -> list[NDArray[np.int64]]:
    """An epoch's micro-batches, of all steps and ranks.

    Static ones have even sizes. Dynamic ones are mini-batches of exactly `per_device_train_batch_size` candidates,
    since the pruner's window must not depend on the epoch's length; only the last step's may be smaller or empty.
    """
    step_slots = training.gradient_accumulation_steps * training.ranks
    if training.mode == "dynamic":
        size = training.per_device_train_batch_size
        return [order_N[size * i : size * (i + 1)] for i in range(steps * step_slots)]
    return [slot for step in _spread(order_N, steps) for slot in _spread(step, step_slots)]


def _spread(rows: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    """Cut into `parts` runs whose sizes differ by at most one, the larger ones evenly among the others."""
    bounds = [len(rows) * i // parts for i in range(parts + 1)]
    return [rows[a:b] for a, b in itertools.pairwise(bounds)]


def forward_passes(micro_batches: list[list[Example]], training: Training, halvings: int = 0) -> list[list[Example]]:
    """The samples of each forward pass of a step on one rank.

    Packed, they are as few passes as hold all samples with at most `batch_tokens` tokens each; padded, one for each
    micro-batch. Each of `halvings` (a job ran out of memory) halves their size: the gradient's sum is the same.
    """
    if training.packing:
        return pack([example for batch in micro_batches for example in batch], training.batch_tokens >> halvings)
    parts = [part for batch in micro_batches for part in _halved(batch, halvings)]
    return [part for part in parts if part]


def pack(examples: list[Example], budget: int) -> list[list[Example]]:
    """First-fit decreasing: the longest first, each into the first pass with room; one over `budget` has its own."""
    passes: list[list[Example]] = []
    free: list[int] = []  # tokens that still fit each pass
    for example in sorted(examples, key=lambda example: -len(example.ids)):
        length = len(example.ids)
        # A step has few passes, so that this search is cheap; `candidates.packed_passes` packs whole epochs.
        place = next((i for i, tokens in enumerate(free) if tokens >= length), len(passes))
        if place == len(passes):
            passes.append([])
            free.append(budget)
        passes[place].append(example)
        free[place] -= length
    return passes


def _halved(batch: list[Example], halvings: int) -> list[list[Example]]:
    size = max(1, math.ceil(len(batch) / 2**halvings))
    return [batch[start : start + size] for start in range(0, len(batch), size)]
