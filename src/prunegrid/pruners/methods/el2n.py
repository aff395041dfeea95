"""EL2N, as far as stored scores tell: keep the samples whose tokens were given the least probability.

Paul et al. (Deep Learning on a Data Diet, NeurIPS 2021) rank by the expected length of p - y, the error vector of the
prediction, early in training. Here the mean over the response of 1 - p of the token that was written, under the base
model (in dynamic mode under the weights of the moment): of each token the length is between that and sqrt(2) times
that. Unlike the loss it is bounded, so that one impossible token counts no more than one that is merely unlikely.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("el2n", label="EL2N (1 - p)", samples=("mean_error",))
def el2n(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: the mean error, from 0 to 1."""
    return scores.samples["mean_error"]
