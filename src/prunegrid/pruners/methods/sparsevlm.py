"""SparseVLM: drop the response tokens that have least to do with the prompt's rater tokens, in two readings.

In the original (Zhang et al., SparseVLM, ICML 2025) text tokens rate image tokens by the attention they pay to
them. `adapted`: in a causal model the prompt comes first, so the direction is reversed: the scoring pass chooses
raters among the prompt tokens by similarity of hidden states to the response, and averages the attention that
a response token pays to them.
`literal`: attention that the raters pay to a response token, which a causal mask makes exactly zero for every
token, so that the first ones are kept. It is refused unless `allow_degenerate: true` says that this is meant.
"""

from typing import Any, Literal

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    if options["sparsevlm"] == "adapted":
        return ("sparsevlm",)
    if not options["allow_degenerate"]:
        raise PrunegridError(
            "sparsevlm: literal",
            "scores every response token 0 in a causal model, whose prompt cannot attend to what follows it, and so "
            "keeps the first tokens",
            "choose adapted, or add allow_degenerate: true",
        )
    return ()


@token_pruner("sparsevlm", label="SparseVLM", figure_row=4, tokens=_columns)
def sparsevlm(
    scores: Scores,
    draw: Draw,
    *,
    sparsevlm: Literal["adapted", "literal"] = "adapted",
    allow_degenerate: bool = False,
) -> Floats:
    """Keys [T]: attention that the token pays, as a query, to the raters (mean); `literal`: zeros."""
    return scores.token("sparsevlm") if sparsevlm == "adapted" else np.zeros(scores.offsets[-1])
