"""FastV: drop the response tokens that are attended to least, in three readings.

`adapted` (the paper's: "the least attention in the final layer"): the scoring pass averages over heads and over a
token's own and all later queries, since a causal model lets fewer queries see a late key.
`original` (Chen et al., An Image is Worth 1/2 Tokens After Layer 2, ECCV 2024): layer 2, the last token's query
row, heads averaged; there for image tokens, here for response tokens. It reads the extra score `fastv_layer2`.
`sequence` (the authors' working copy of September 2025: Q-tuning/Q-tuning, dd6eba5, train/sft/trainer.py,
`compute_loss`): final layer, heads and all query rows averaged, no correction for position, and the prompt's tokens
compete, sample by sample. It reads the extra score `fastv_rank`, each token's place among all tokens of its sequence,
so that tokens of two sequences cannot be compared.
"""

from typing import Any, Literal

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.registry import token_pruner
from prunegrid.pruners.token_rules import AUTHORS_RULES, PROMPT_CANDIDATES, PromptKeys

LABEL = {"adapted": "FastV", "original": "FastV (original)", "sequence": "FastV (all rows)"}
COLUMN = {"adapted": "fastv", "original": "fastv_layer2", "sequence": "fastv_rank"}


def prompt_ranks(scores: Scores, draw: Draw) -> Floats:
    """Keys [P] of the prompts' candidates: minus the ranks of their sequences that no response token has.

    An end of sequence is a special token, which is no candidate: its rank is that of the candidate behind it.
    """
    prompt = scores.samples[PROMPT_CANDIDATES].astype(np.int64)
    _check_ranks(scores, prompt)
    offsets = ragged.offsets_from_lengths(prompt + scores.response_tokens)
    taken = np.repeat(offsets[:-1], scores.response_tokens) + scores.tokens["fastv_rank"].astype(np.int64)
    is_free = np.ones(offsets[-1])
    is_free[np.delete(taken, scores.answers.ends)] = 0
    return -ragged.positions(offsets)[ragged.segment_top_k(is_free, offsets, prompt)].astype(np.float64)


def _check_ranks(scores: Scores, prompt: Ints | None) -> None:
    """Refuse a rank that is no place in its sequence, with so many tokens of the prompt [n] (None: not known)."""
    rank = scores.token("fastv_rank")
    size = np.inf if prompt is None else np.repeat(prompt + scores.response_tokens, scores.response_tokens)
    if len(wrong := np.flatnonzero((rank < 0) | (rank >= size) | (rank % 1 != 0))):
        row = int(np.searchsorted(scores.offsets, wrong[0], side="right")) - 1
        place = f"sample_id {scores.sample_id[row]} at position {wrong[0] - scores.offsets[row]}"
        problem = f"is {rank[wrong[0]]:g} for {place}, which is not a position in its sequence"
        raise PrunegridError("token column fastv_rank", problem, "delete the score's file and recompute it")


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    """Refuse to compare ranks of several sequences."""
    if options["fastv"] == "sequence" and options.get("pool") == "batch":
        problem = "ranks a token within its own sequence, and pool: batch compares tokens of all samples"
        raise PrunegridError("fastv: sequence", problem, "set pool: sample, as the reading authors-2025-09 does")
    return (COLUMN[options["fastv"]],)


def _prompt_keys(options: dict[str, Any]) -> PromptKeys | None:
    return prompt_ranks if options["fastv"] == "sequence" else None


@token_pruner(
    "fastv",
    label=lambda options: LABEL[options["fastv"]],
    figure_row=3,
    tokens=_columns,
    prompt_keys=_prompt_keys,
    readings={AUTHORS: {"fastv": "sequence", **AUTHORS_RULES, "pool": "sample"}},
)
def fastv(scores: Scores, draw: Draw, *, fastv: Literal["adapted", "original", "sequence"] = "adapted") -> Floats:
    """Keys [T]: attention received by the token as a key; `sequence`: minus its rank by that."""
    if fastv != "sequence":
        return scores.token(COLUMN[fastv])
    if scores.turns is not None:
        problem = "ranks a token within its own sequence, and unit: conversation compares those of several answers"
        raise PrunegridError("fastv: sequence", problem, "set unit: turn, or another fastv")
    _check_ranks(scores, scores.prompt_tokens)
    return -scores.token("fastv_rank")
