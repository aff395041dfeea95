"""FastV as the paper reads it: drop the response tokens that the final layer attends to least.

The scoring pass averages over heads and over the queries that can see a token, since a causal model lets
fewer queries see a late key. The original (Chen et al., FastV, ECCV 2024) reads layer 2 and the last query's
row, for image tokens.
"""

from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.ragged import Floats
from prunegrid.pruners.registry import token_pruner


@token_pruner("fastv", tokens=("fastv",))
def fastv(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: attention received by the token as a key."""
    return scores.token("fastv")
