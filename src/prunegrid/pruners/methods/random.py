"""Random: the baseline of every delta. Uniform over samples, or over the tokens of a response."""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.registry import sample_pruner, token_pruner
from prunegrid.pruners.token_rules import AUTHORS_RULES


@sample_pruner("random", label="Random", reason="random")
def samples(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: hashes of (seed, sample_id)."""
    return draw.samples(scores)


@token_pruner(
    "random",
    label="Random",
    figure_row=1,
    prompt_keys=lambda options: lambda scores, draw: draw.prompt_tokens(scores),
    readings={AUTHORS: AUTHORS_RULES},
)
def tokens(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: hashes of (seed, sample_id, position)."""
    return draw.tokens(scores)
