"""FastV: drop the response tokens that are attended to least, in two readings.

`adapted` (the paper's: "the least attention in the final layer"): the scoring pass averages over heads and over a
token's own and all later queries, since a causal model lets fewer queries see a late key.
`original` (Chen et al., An Image is Worth 1/2 Tokens After Layer 2, ECCV 2024): layer 2, the last token's query
row, heads averaged; there for image tokens, here for response tokens. It reads the extra score `fastv_layer2`.
"""

from typing import Literal

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner

COLUMN = {"adapted": "fastv", "original": "fastv_layer2"}


@token_pruner("fastv", label="FastV", figure_row=3, tokens=lambda options: (COLUMN[options["fastv"]],))
def fastv(scores: Scores, draw: Draw, *, fastv: Literal["adapted", "original"] = "adapted") -> Floats:
    """Keys [T]: attention received by the token as a key."""
    return scores.token(COLUMN[fastv])
