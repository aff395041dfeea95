"""Entropy: keep what the model is least sure of, whole samples or tokens."""

from typing import Annotated, Literal

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.options import added
from prunegrid.pruners.registry import sample_pruner, token_pruner


@sample_pruner(
    "entropy",
    label=lambda options: "Plainest instruction" if options.get("entropy") == "instruction" else "Entropy",
    samples=lambda options: ("instruction_entropy" if options.get("entropy") == "instruction" else "entropy",),
    readings={AUTHORS: {"entropy": "instruction"}},
)
def samples(
    scores: Scores,
    draw: Draw,
    *,
    entropy: Annotated[Literal["predictive", "instruction"], added("predictive")] = "predictive",
) -> Floats:
    """Keys [n]: predictive entropy, mean over the response, nats (a baseline of the paper).

    `instruction`: minus the entropy of the instruction's characters, as the authors' working copy of September 2025
    does, which keeps the lowest (Q-tuning/Q-tuning, dd6eba5, data/infobatch.py, `prune`).
    """
    return scores.samples["entropy"] if entropy == "predictive" else -scores.samples["instruction_entropy"]


@token_pruner("entropy", label="Entropy", tokens=("entropy",))
def tokens(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: predictive entropy at the token, nats.

    Not in the paper. High-entropy tokens are the "forking tokens" that Wang et al. train on (Beyond the 80/20
    Rule, 2025, arXiv 2506.01939), there in reinforcement learning and over a batch, here within a response.
    """
    return scores.token("entropy")
