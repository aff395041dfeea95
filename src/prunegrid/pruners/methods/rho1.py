"""Rho-1: keep the response tokens of highest excess loss over a reference model.

Selective language modelling (Lin et al., Not All Tokens Are What You Need, NeurIPS 2024): L_theta(y_i) - L_ref(y_i),
where the reference was trained on clean data; what both find hard is noise, what both know is redundant. Reads
the extra score `reference_nll`, for which the model's `reference` is scored too. Departure: the original takes the
top k % of a batch with the current weights, this one of each response with the base model's. The authors' working copy
of September 2025 keeps the highest, too, of a whole micro-batch (Q-tuning/Q-tuning, dd6eba5, train/sft/trainer.py,
`compute_loss`): `reading: authors-2025-09` is the rules of counts that its token pruners share.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.registry import token_pruner
from prunegrid.pruners.token_rules import AUTHORS_RULES, prompt_loss


@token_pruner(
    "rho1",
    label="Rho-1",
    tokens=("nll", "reference_nll"),
    prompt_keys=lambda options: prompt_loss,
    readings={AUTHORS: AUTHORS_RULES},
)
def rho1(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: NLL under the base model minus NLL under the reference, nats."""
    return scores.token("nll") - scores.token("reference_nll")
