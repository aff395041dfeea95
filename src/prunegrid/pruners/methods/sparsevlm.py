"""SparseVLM: drop the response tokens that have least to do with the prompt's rater tokens, in three readings.

In the original (Zhang et al., SparseVLM, ICML 2025) text tokens rate image tokens by the attention they pay to
them. `adapted`: in a causal model the prompt comes first, so the direction is reversed: the scoring pass chooses
raters among the prompt tokens by similarity of hidden states to the response, and averages the attention that
a response token pays to them.
`literal`: attention that the raters pay to a response token, which a causal mask makes exactly zero for every
token, so that the first ones are kept. It is refused unless `allow_degenerate: true` says that this is meant.
`rank` (the authors' working copy of September 2025: Q-tuning/Q-tuning, dd6eba5, train/sft/trainer.py, `compute_loss`):
how many tokens are kept depends on the rank of the attention matrix, and not on the token ratio. It reads the extra
score `sparsevlm_kept`.
"""

from typing import Any, Literal

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.registry import token_pruner

LABEL = {"adapted": "SparseVLM", "literal": "SparseVLM (literal)", "rank": "SparseVLM (rank)"}
COLUMN = {"adapted": "sparsevlm", "rank": "sparsevlm_kept"}


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    if options["sparsevlm"] != "literal":
        return (COLUMN[options["sparsevlm"]],)
    if not options["allow_degenerate"]:
        raise PrunegridError(
            "sparsevlm: literal",
            "scores every response token 0 in a causal model, whose prompt cannot attend to what follows it, and so "
            "keeps the first tokens",
            "choose adapted, or add allow_degenerate: true",
        )
    return ()


@token_pruner(
    "sparsevlm",
    label=lambda options: LABEL[options["sparsevlm"]],
    figure_row=4,
    tokens=_columns,
    reads_ratio=lambda options: options["sparsevlm"] != "rank",
    readings={AUTHORS: {"sparsevlm": "rank", "end_token": "drop"}},
)
def sparsevlm(
    scores: Scores,
    draw: Draw,
    *,
    sparsevlm: Literal["adapted", "literal", "rank"] = "adapted",
    allow_degenerate: bool = False,
) -> Floats:
    """Keys [T]: attention that the token pays, as a query, to the raters (mean); `literal`: zeros; `rank`: 1 or 0."""
    return np.zeros(scores.offsets[-1]) if sparsevlm == "literal" else scores.token(COLUMN[sparsevlm])
