"""How long a training's epochs are and how many tokens they take, under the keys of `training` that say so."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from prunegrid.core.ragged import exact_fraction, keep_counts
from prunegrid.experiment.training import Training
from prunegrid.plan.counts import TokenCounts
from prunegrid.pruners import PruningSpec
from prunegrid.pruners.columns import EPOCH_LOSS
from prunegrid.pruners.epochs import kept_in_epoch
from prunegrid.training.schedule import constant_timetable, timetable

Tokens = tuple[float, float]  # of prompts and responses


@dataclass(frozen=True)
class EpochLoad:
    """The steps of a training and, of all its epochs, the tokens of samples that are trained on and that are scored."""

    steps: int
    epoch_steps: float
    trained: Tokens
    scored: Tokens


def epoch_load(training: Training, tokens: TokenCounts, kept: Tokens, pruning: PruningSpec | None) -> EpochLoad:
    """`kept` are the tokens of the samples that a usual epoch keeps, before the second cut."""
    every, by_epoch = (float(tokens.prompt), float(tokens.response)), training.prune_samples == "epoch"
    count = partial(kept_in_epoch, pruning, tokens.samples) if pruning else lambda epoch: tokens.samples
    if training.steps == "kept" and by_epoch:
        table = timetable(count, training)
    else:
        table = constant_timetable(count(1), tokens.samples, training)
    passes = [min(1.0, (table.steps - table.starts[e]) / len(table.whole(e))) for e in table.epochs]
    epochs = sum(passes)
    seen = sum(share * count(e) / count(1) for e, share in enumerate(passes)) if by_epoch else epochs
    second = _second_share(training, pruning) if pruning else 1.0
    late = pruning and EPOCH_LOSS in pruning.needs.samples and training.steps == "kept"
    scored = _times(kept, seen if late else seen * second) if by_epoch else _times(every, epochs)
    return EpochLoad(table.steps, float(table.steps_per_epoch), _times(kept, seen * second), scored)


def realised_ratio(training: Training, pruning: PruningSpec) -> float:
    """The share of samples that is kept: of a dynamic cell's mini-batches a whole number, at least one sample."""
    if training.mode != "dynamic" or training.prune_samples == "epoch":
        return pruning.sample_ratio
    size, options = training.per_device_train_batch_size, pruning.complete().options
    rule = "round" if options.get("sample_count") == "round" else "floor"
    return float(keep_counts(pruning.sample_ratio, np.array([size]), rule)[0] / size)


def _times(pair: Tokens, factor: float) -> Tokens:
    return pair[0] * factor, pair[1] * factor


def _second_share(training: Training, pruning: PruningSpec) -> float:
    """What `prune_twice` leaves of a group of samples: of a mini-batch's, or of those that its sample pruner keeps."""
    if not training.prune_twice:
        return 1.0
    ratio, size = exact_fraction(pruning.sample_ratio), training.per_device_train_batch_size
    if training.mode == "dynamic" and training.prune_samples == "batch":
        size = max(1, int(ratio * size))
    return max(1, round(ratio * size)) / size
