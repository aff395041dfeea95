"""All: every sample and token is kept, whatever the budget: full data, with the rules of a pruned row.

Unlike the reference row of full data it can leave out the ends of answers: the full-data row of the authors' working
copy of September 2025 goes through its baselines' code, which never trains a special token (Q-tuning/Q-tuning,
dd6eba5, train/sft/trainer.py, `compute_loss`).
"""

from typing import Annotated

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Choice, Draw, EndToken, KeptSamples, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.options import added
from prunegrid.pruners.registry import joint_pruner


def _equal(block: Scores) -> Floats:
    return np.zeros(int(block.offsets[-1]))


@joint_pruner(
    "all",
    label=lambda options: "All but ends" if options.get("end_token") == "drop" else "All",
    reason="all",
    rank=lambda block, draw, end_token: _equal(block),
    readings={AUTHORS: {"end_token": "drop"}},
)
def everything(
    scores: Scores,
    draw: Draw,
    sample_ratio: float,
    token_ratio: float,
    *,
    end_token: Annotated[EndToken, added("keep")] = "keep",
) -> Choice:
    """All rows, with all their tokens; `end_token: drop` leaves out the ends of the answers."""
    return Choice(
        rows=np.arange(len(scores)),
        k=scores.response_tokens,
        rank=_equal,
        samples=KeptSamples.uniform("all", len(scores)),
        end_token=end_token,
    )
