"""PPL: drop the response tokens of highest perplexity (a baseline of the paper)."""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner


@token_pruner("ppl", label="PPL", figure_row=2, tokens=("nll",))
def ppl(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: -NLL. PPL_i = exp(NLL_i) is monotone, so the exponential is not taken."""
    return -scores.token("nll")
