"""Entropy: keep what the model is least sure of, whole samples or tokens."""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner, token_pruner


@sample_pruner("entropy", label="Entropy", samples=("entropy",))
def samples(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: predictive entropy, mean over the response, nats (a baseline of the paper)."""
    return scores.samples["entropy"]


@token_pruner("entropy", label="Entropy", tokens=("entropy",))
def tokens(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: predictive entropy at the token, nats.

    Not in the paper. High-entropy tokens are the "forking tokens" that Wang et al. train on (Beyond the 80/20
    Rule, 2025, arXiv 2506.01939), there in reinforcement learning and over a batch, here within a response.
    """
    return scores.token("entropy")
