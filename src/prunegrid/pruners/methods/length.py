"""Length: rank samples by their response tokens.

Keeping the longest is the baseline of Zhao et al. (Long Is More for Alignment, ICML 2024), and a filter on length is
what helped most steadily in Xia et al. (Rethinking Data Selection at Scale, 2024, arXiv 2410.09335). Not in the paper,
whose row Longest drops the longest: that is the pruner `longest`, whose default keeps the shortest.
"""

from typing import Literal

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("length", label=lambda options: f"Length ({options['length']})")
def length(scores: Scores, draw: Draw, *, length: Literal["longest", "shortest", "middle"] = "longest") -> Floats:
    """Keys [n]: the number of response tokens, its negative, or minus its distance to the median."""
    tokens = scores.response_tokens.astype(np.float64)
    if length == "middle":
        distance: Floats = -np.abs(tokens - np.median(tokens))
        return distance
    return tokens if length == "longest" else -tokens
