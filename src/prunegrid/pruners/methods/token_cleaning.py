"""Token cleaning: the excess loss of `rho1`, with the tokens of all kept samples competing.

Fixed-model cleaning (Pang et al., Token Cleaning, ICML 2025): score = log P_ref(y_i) - log P_base(y_i), the top
k % of the whole set are kept, so a good response keeps more than a bad one. Here the set is the kept samples; the
total is what the other token pruners keep, each sample keeps at least one token, and the ends of the sequences
come first. Their self-evolving cleaning, which alternates with training the reference, is not implemented.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner
from prunegrid.pruners.token_rules import prompt_loss


@token_pruner(
    "token-cleaning",
    label="Token Cleaning",
    tokens=("nll", "reference_nll"),
    shared_budget=True,
    prompt_keys=lambda options: prompt_loss,
)
def token_cleaning(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: NLL under the base model minus NLL under the reference, nats."""
    return scores.token("nll") - scores.token("reference_nll")
