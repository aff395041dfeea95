"""Frequency: keep the rarest response tokens, or the commonest. A control: no model is read.

Rare tokens have a high loss and a high entropy under any model. A token pruner that keeps no better than this one found
rare words.
"""

from typing import Literal

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner


@token_pruner(
    "frequency", label=lambda options: f"{options['frequency'].capitalize()} tokens", tokens=("token_frequency",)
)
def frequency(scores: Scores, draw: Draw, *, frequency: Literal["rarest", "commonest"] = "rarest") -> Floats:
    """Keys [T]: how often the token's id is in all responses, or minus that."""
    count = scores.token("token_frequency")
    return count if frequency == "commonest" else -count
