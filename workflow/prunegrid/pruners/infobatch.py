"""InfoBatch as the paper reads it: keep the samples of highest mean loss.

The original (Qin et al., InfoBatch, ICLR 2024) is stochastic: samples under the mean loss are dropped with
probability r, the loss of those that survive is scaled by 1 / (1 - r), and the last 12.5 % of epochs are not
pruned. That needs weights and epochs, and is not what this function does.
"""

from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.ragged import Floats
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("infobatch", samples=("nll",))
def infobatch(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: mean negative log-likelihood of the response, nats."""
    return scores.samples["nll"]
