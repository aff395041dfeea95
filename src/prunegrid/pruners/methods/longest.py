"""Longest: rank samples by length, in response tokens.

The paper's baseline "removed the longest sequences", so `keep: shortest` is the default. The baseline of that
name in the literature keeps them (Zhao et al., Long Is More for Alignment, ICML 2024): `keep: longest`.
`length_of: instruction` counts characters of the instruction instead, as the authors' working copy of September 2025
does (Q-tuning/Q-tuning, dd6eba5, data/infobatch.py, `prune`).
"""

from typing import Annotated, Literal

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.options import added
from prunegrid.pruners.registry import sample_pruner

LABEL = {
    ("shortest", "response"): "Longest removed",
    ("longest", "response"): "Longest kept",
    ("shortest", "instruction"): "Shortest instruction",
    ("longest", "instruction"): "Longest instruction",
}


@sample_pruner(
    "longest",
    label=lambda options: LABEL[options["keep"], options.get("length_of", "response")],
    published="Longest",
    samples=lambda options: ("instruction_characters",) if options.get("length_of") == "instruction" else (),
    readings={AUTHORS: {"length_of": "instruction", "keep": "shortest"}},
)
def longest(
    scores: Scores,
    draw: Draw,
    *,
    keep: Literal["shortest", "longest"] = "shortest",
    length_of: Annotated[Literal["response", "instruction"], added("response")] = "response",
) -> Floats:
    """Keys [n]: plus or minus the number of response tokens, or of the instruction's characters."""
    given = scores.response_tokens if length_of == "response" else scores.samples["instruction_characters"]
    length = given.astype(np.float64)
    return -length if keep == "shortest" else length
