"""Training arithmetic: which samples each rank sees in which micro-batch of which optimizer step.

Batch sizes count candidates, before pruning: every cell takes as many steps as Full does, and an epoch's kept samples
are spread evenly over them. With `training.steps: kept` they count kept samples, and an epoch is shorter. A
conversation that is one sequence is one sample. Where mini-batches are pruned, all candidates are spread. Imports no
torch: the plan counts steps here.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Ints, exact_fraction
from prunegrid.core.randomness import derive_seed, uniform
from prunegrid.experiment.training import Training
from prunegrid.selection.examples import Example

MicroBatches = list[list[int]]


def global_batch(training: Training) -> int:
    return training.per_device_train_batch_size * training.gradient_accumulation_steps * training.ranks


def steps_per_epoch(samples: int, training: Training) -> int:
    """Optimizer steps of an epoch of so many samples (candidates, or kept ones): ceil(samples / global batch)."""
    return math.ceil(samples / global_batch(training))


def total_steps(candidates: int, training: Training) -> int:
    """The steps of a training on all the data."""
    return training.max_steps or steps_per_epoch(candidates, training) * training.num_train_epochs


@dataclass(frozen=True)
class Timetable:
    """Which steps are of which epoch: the first step of each, then the end of the last, and the `steps` taken in all.

    The last epoch may be left before its end.
    """

    starts: tuple[int, ...]
    steps: int

    @property
    def epochs(self) -> range:
        return range(len(self.starts) - 1)

    def epoch(self, step: int) -> int:
        """The epoch that the step is of."""
        return min(bisect_right(self.starts, step), len(self.epochs)) - 1

    def whole(self, epoch: int) -> range:
        """The epoch's steps, those included that the training ends before."""
        return range(self.starts[epoch], self.starts[epoch + 1])

    @property
    def steps_per_epoch(self) -> int | float:
        """The mean, where epochs differ."""
        steps = Fraction(self.starts[-1], len(self.epochs))
        return int(steps) if steps.denominator == 1 else float(steps)

    def passes(self, step: int) -> float:
        """How many epochs lie before a step."""
        steps = self.whole(epoch := self.epoch(step))
        return float(epoch + Fraction(step - steps.start, len(steps)))


def timetable(samples: Callable[[int], int], training: Training) -> Timetable:
    """`samples(epoch)` is the number that the epoch's length is counted by."""
    starts = [0]
    while starts[-1] < training.max_steps if training.max_steps else len(starts) <= training.num_train_epochs:
        starts.append(starts[-1] + steps_per_epoch(samples(len(starts) - 1), training))
    return Timetable(tuple(starts), training.max_steps or starts[-1])


def constant_timetable(kept: int, candidates: int, training: Training) -> Timetable:
    """That of epochs which all keep the same number of samples."""
    return timetable(lambda _: kept if training.steps == "kept" else candidates, training)


def schedule(
    sample_id_N: Ints,
    candidates: int,
    training: Training,
    cell_seed: int,
    rank: int,
    second_ratio: float | None = None,
) -> list[MicroBatches]:
    """For each optimizer step in order, the micro-batches of `rank`: rows of the N samples that are spread.

    A micro-batch is empty only if its step has fewer samples than ranks x accumulation steps (where micro-batches are
    full ones: at an epoch's end). `second_ratio` is the share that `prune_twice` leaves.
    """
    table = constant_timetable(len(sample_id_N), candidates, training)
    planner, rows = EpochPlanner(sample_id_N, training, cell_seed, second_ratio), np.arange(len(sample_id_N))
    plans = (planner.plan(epoch, len(table.whole(epoch)), rank, rows) for epoch in table.epochs)
    return list(itertools.chain.from_iterable(plans))[: table.steps]


@dataclass(frozen=True)
class EpochPlanner:
    """Divides the samples of an epoch among steps, micro-batches and ranks. `second_ratio`: see `schedule`."""

    sample_id_N: Ints
    training: Training
    cell_seed: int
    second_ratio: float | None = None

    def plan(self, epoch: int, steps: int, rank: int, rows: Ints) -> list[MicroBatches]:
        """The micro-batches of `rank` in each of the epoch's steps: the samples `rows`, in the epoch's order."""
        ids, seed = self.sample_id_N[rows], derive_seed(self.cell_seed, "data")
        order = rows[np.lexsort((ids, uniform(seed, "order", ids, epoch=epoch)))]
        micro, ranks = self.training.gradient_accumulation_steps, self.training.ranks
        slots = self._slots(order, epoch, steps, micro * ranks)
        # Ranks take turns within a micro-batch, so that all have samples for as long as any has.
        return [[slots[(step * micro + m) * ranks + rank].tolist() for m in range(micro)] for step in range(steps)]

    def _slots(self, order: Ints, epoch: int, steps: int, step_slots: int) -> list[Ints]:
        """The epoch's micro-batches, of all steps and ranks.

        Those that are pruned have exactly `per_device_train_batch_size` samples, since the pruner's window must not
        depend on the epoch's length, and so have those of `steps: kept`; only the last step's may be smaller or empty.
        Others have even sizes. The second cut is of such groups of `per_device_train_batch_size` in either case, so
        that its share does not depend on the number of steps.
        """
        size, training = self.training.per_device_train_batch_size, self.training
        groups = [self._cut(order[size * i : size * (i + 1)], epoch) for i in range(steps * step_slots)]
        if training.steps == "kept" or (training.mode == "dynamic" and training.prune_samples == "batch"):
            return groups
        rows = np.concatenate(groups)
        if self.second_ratio is not None and len(rows) < steps:
            raise too_few_samples(self.training, self.second_ratio, f"{len(rows)} samples for {steps} steps")
        return [slot for step in _spread(rows, steps) for slot in _spread(step, step_slots)]

    def _cut(self, rows: Ints, epoch: int) -> Ints:
        if self.second_ratio is None:
            return rows
        return rows[second_cut(self.sample_id_N[rows], self.cell_seed, epoch, self.second_ratio)]


def second_cut(sample_id_n: Ints, cell_seed: int, epoch: int, ratio: float) -> Ints:
    """Indices of the max(1, round(ratio x n)) of n samples that `prune_twice` leaves, at random, in their order.

    Rounded half to even, as Python and the authors' working copy of September 2025 do.
    """
    count = max(1, round(exact_fraction(ratio) * len(sample_id_n)))
    luck_n = uniform(derive_seed(cell_seed, "pruning"), "second cut", sample_id_n, epoch=epoch)
    return np.sort(np.lexsort((sample_id_n, luck_n))[:count])


def too_few_samples(training: Training, ratio: float, finding: str) -> PrunegridError:
    """The error of a step that the second cut leaves no sample for."""
    batch = global_batch(training)
    numbers = f"a global batch of {batch} x {ratio:g} x {ratio:g} is {batch * ratio * ratio:g}"
    fix = "set training.steps: kept, or a larger global batch"
    return PrunegridError("training.prune_twice", f"leaves {finding} of an epoch ({numbers})", fix)


def _spread(rows: Ints, parts: int) -> list[Ints]:
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
