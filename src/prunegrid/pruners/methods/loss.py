"""Loss: rank samples by their mean loss and keep one end or the middle.

Perplexity-based pruning as in Marion et al. (When Less Is More, 2023, arXiv 2309.04564), who compare the lowest,
the middle and the highest perplexities of a pre-training set; exp is monotone, so the loss ranks alike. Not in
the paper, whose InfoBatch is `loss: highest`. Departure: the middle is nearest to the median, where they take
percentiles around it.
"""

from typing import Literal

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner

LABEL = {"highest": "Loss", "middle": "Loss (middle)", "lowest": "Loss (lowest)"}


@sample_pruner("loss", label=lambda options: LABEL[options["loss"]], samples=("nll",))
def loss(scores: Scores, draw: Draw, *, loss: Literal["highest", "middle", "lowest"] = "highest") -> Floats:
    """Keys [n]: mean NLL of the response (nats), its negative, or minus its distance to the median."""
    nll = scores.samples["nll"]
    if loss == "middle":
        distance: Floats = -np.abs(nll - np.median(nll))
        return distance
    return nll if loss == "highest" else -nll
