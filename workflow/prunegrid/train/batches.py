"""Training arithmetic: which samples each rank sees in which micro-batch of which optimizer step.

Batch sizes count candidates, before pruning: every cell takes as many steps as Full does, and an epoch's
kept samples are spread evenly over them (design: training arithmetic).
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunegrid.config import Training
from prunegrid.draws import uniform

IGNORE = -100


class Example(NamedTuple):
    """One kept sample as the model sees it; `labels` are `IGNORE` where nothing is learned."""

    ids: list[int]
    labels: list[int]
    positions: list[int]
    weight: float


def example(
    prompt_ids: list[int], response_ids: list[int], kept: list[int] | None, weight: float, removal: str
) -> Example:
    """`kept` are positions within the response (None: all). Raises nothing: the selection is checked before.

    `mask`: all tokens are context, pruned ones have no loss. `drop`: pruned tokens are gone, survivors keep
    their original position ids, and the survivor before a gap predicts the next survivor.
    """
    kept = list(range(len(response_ids))) if kept is None else kept
    start = len(prompt_ids)
    survivors = kept if removal == "drop" else range(len(response_ids))
    learned = set(kept)
    return Example(
        ids=[*prompt_ids, *(response_ids[i] for i in survivors)],
        labels=[IGNORE] * start + [response_ids[i] if i in learned else IGNORE for i in survivors],
        positions=[*range(start), *(start + i for i in survivors)],
        weight=weight,
    )


def steps_per_epoch(candidates: int, training: Training) -> int:
    """Optimizer steps of an epoch: ceil(candidates / global batch), whatever was pruned."""
    per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps * training.ranks
    return math.ceil(candidates / per_step)


def schedule(
    sample_id_N: NDArray[np.int64], candidates: int, training: Training, seed: int, rank: int
) -> list[list[int]]:
    """Row indices (into the N kept samples) of each micro-batch of `rank`, all epochs in order.

    A micro-batch is empty only where a step has fewer kept samples than ranks x accumulation steps.
    """
    steps, micro = steps_per_epoch(candidates, training), training.gradient_accumulation_steps
    plan: list[list[int]] = []
    for epoch in range(training.num_train_epochs):
        order_N = np.lexsort((sample_id_N, uniform(seed, "order", sample_id_N, epoch=epoch)))
        for step in _spread(order_N, steps):
            slots = _spread(step, micro * training.ranks)
            plan += [slots[m * training.ranks + rank].tolist() for m in range(micro)]
    return plan


def _spread(rows: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    """Cut into `parts` runs whose sizes differ by at most one, the larger ones evenly among the others."""
    bounds = [len(rows) * i // parts for i in range(parts + 1)]
    return [rows[a:b] for a, b in itertools.pairwise(bounds)]
