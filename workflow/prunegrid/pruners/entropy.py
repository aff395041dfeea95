"""Entropy: keep the samples of highest mean predictive entropy (a baseline of the paper)."""

from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.ragged import Floats
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("entropy", samples=("entropy",))
def entropy(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: entropy of the predictive distribution, mean over the response, nats."""
    return scores.samples["entropy"]
