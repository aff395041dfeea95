"""PPL (middle): keep the middle percentiles of perplexity.

The best subset of Marion et al. (When Less Is More, 2023, arXiv 2309.04564, section 3): to keep a share r, the samples
from percentile 50 (1 - r) to 50 (1 + r). There of sequences of a pre-training set, under a reference model; here of
responses under the base model. `loss: middle` keeps what is nearest to the median in nats instead: where perplexities
are skewed, more on one side than on the other.
"""

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("ppl-mid", label="PPL (middle percentiles)", samples=("nll",))
def ppl_mid(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: minus the distance of the sample's rank to the middle rank; equal losses rank by `sample_id`."""
    nll = scores.samples["nll"]
    rank = np.empty(len(nll))
    rank[np.argsort(nll, kind="stable")] = np.arange(len(nll))
    distance: Floats = -np.abs(rank - (len(nll) - 1) / 2)
    return distance
