"""ssToken: keep the response tokens that training has learned most of, and those that look back at the prompt most.

Qin et al., ssToken: Self-modulated and Semantic-aware Token Selection (ICLR 2026, arXiv 2510.18250; jianke0604/ssToken,
2a0c57d, scripts/finetune.py): gamma x minmax(L_base - L_now) + (1 - gamma) x attention to the prompt, the largest of
each response. L_base is the NLL under the model before training (`base_nll`), L_now under the weights of the moment,
so that only dynamic mode has both. Departures: k is floor, not ceil, as for every token pruner
(docs/reference/pruners.md); the
model before training is never updated; gamma is the same from the first step on, where their script begins with 0.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner


@token_pruner("sstoken", label="ssToken", tokens=("nll", "base_nll", "prompt_attention"))
def sstoken(scores: Scores, draw: Draw, *, gamma: Annotated[float, Field(ge=0, le=1)] = 0.5) -> Floats:
    """Keys [T]: gamma times the loss that is gone since the base model, from 0 (least of its response) to 1, and the
    rest times the attention that the token pays to the prompt. Where a response has one such loss, that is 0."""
    gone = scores.token("base_nll") - scores.token("nll")
    lengths, start = np.diff(scores.offsets), scores.offsets[:-1]
    least, most = np.minimum.reduceat(gone, start), np.maximum.reduceat(gone, start)
    span = np.where(most > least, most - least, 1.0)
    learned = (gone - np.repeat(least, lengths)) / np.repeat(span, lengths)
    key: Floats = gamma * learned + (1 - gamma) * scores.token("prompt_attention")
    return key
