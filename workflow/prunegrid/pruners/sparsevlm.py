"""SparseVLM adapted to a causal LM: drop the response tokens that attend least to the prompt's rater tokens.

In the original (Zhang et al., SparseVLM, ICML 2025) text tokens rate image tokens. Here the prompt comes
first, so prompt -> response attention is exactly zero and the direction is turned: the scoring pass chooses
raters among the prompt tokens by similarity of hidden states to the response, and averages the attention paid
to them.
"""

from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.ragged import Floats
from prunegrid.pruners.registry import token_pruner


@token_pruner("sparsevlm", tokens=("sparsevlm",))
def sparsevlm(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: attention that the token pays, as a query, to the raters (mean)."""
    return scores.token("sparsevlm")
