"""Rho-1: keep the response tokens of highest excess loss over a reference model.

Selective language modelling (Lin et al., Not All Tokens Are What You Need, NeurIPS 2024): L_theta(y_i) - L_ref(y_i),
where the reference was trained on clean data; what both find hard is noise, what both know is redundant. Reads
the extra score `reference_nll`, for which the model's `reference` is scored too. Departure: the original takes the
top k % of a batch with the current weights, this one of each response with the base model's.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner


@token_pruner("rho1", label="Rho-1", tokens=("nll", "reference_nll"))
def rho1(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: NLL under the base model minus NLL under the reference, nats."""
    return scores.token("nll") - scores.token("reference_nll")
