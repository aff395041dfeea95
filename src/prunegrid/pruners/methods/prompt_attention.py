"""Attention to the prompt: keep the response tokens that look back at it most, the static half of ssToken.

Qin et al., ssToken (ICLR 2026, arXiv 2510.18250), the attention-based part alone: attention in the last layer, mean
over heads, that the token pays to all tokens of the prompt, summed. Reads the optional score `prompt_attention`.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import token_pruner


@token_pruner("prompt-attention", label="Prompt attention", tokens=("prompt_attention",))
def prompt_attention(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: attention that the token pays, as a query, to the prompt, from 0 to 1."""
    return scores.token("prompt_attention")
