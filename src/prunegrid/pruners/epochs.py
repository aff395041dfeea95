"""A pair whose sample pruner chooses from all the data at each epoch's start (`training.prune_samples: epoch`)."""

import numpy as np

from prunegrid.core.ragged import keep_counts
from prunegrid.pruners.columns import EPOCH_LOSS, PASS_COLUMNS
from prunegrid.pruners.spec import PruningSpec


def choice_columns(spec: PruningSpec) -> dict[str, str]:
    """The optional sample columns that are read from files to choose from all the data, each with its pruner."""
    return {name: pruner for name, pruner in spec.needs.samples.items() if name not in (*PASS_COLUMNS, EPOCH_LOSS)}


def kept_in_epoch(spec: PruningSpec, samples: int, epoch: int) -> int:
    """How many of so many samples a method keeps in an epoch, counted from 0: known before any of them is scored."""
    if spec.method == "all":
        return samples
    if epoch == 0 and spec.options.get("infobatch") == "epochs":
        return samples  # its first epoch sees everything
    return int(keep_counts(spec.sample_ratio, np.array([samples]))[0])
