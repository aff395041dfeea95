"""Position: keep the first or the last tokens of each response. A control: no score is read.

Scores of tokens drift with position: attention is averaged over fewer queries, perplexity falls as the context grows. A
token pruner that is not better than this one has learned nothing else.
"""

from typing import Literal

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner


@token_pruner("position", label=lambda options: f"{options['position'].capitalize()} tokens")
def position(scores: Scores, draw: Draw, *, position: Literal["first", "last"] = "first") -> Floats:
    """Keys [T]: the place in the response, or its negative."""
    place = ragged.positions(scores.offsets).astype(np.float64)
    return -place if position == "first" else place
