"""Longest: rank samples by length, in response tokens.

The paper's baseline "removed the longest sequences", so `keep: shortest` is the default. The baseline of that
name in the literature keeps them (Zhao et al., Long Is More for Alignment, ICML 2024): `keep: longest`.
"""

from typing import Literal

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("longest", label="Longest")
def longest(scores: Scores, draw: Draw, *, keep: Literal["shortest", "longest"] = "shortest") -> Floats:
    """Keys [n]: plus or minus the number of response tokens."""
    length = scores.response_tokens.astype(np.float64)
    return -length if keep == "shortest" else length
