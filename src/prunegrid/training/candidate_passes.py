"""What one pass over candidate samples computes, padded or packed.

Attention scores are computed after the forward from the last layer's queries and keys; of packed samples for a few of
similar length at a time, by the functions of the padded scoring pass.
"""

from collections.abc import Callable
from typing import Any

import torch

from prunegrid.models.attention_capture import AttentionCapture, AttentionInputs
from prunegrid.models.head import Head
from prunegrid.scoring.batches import Batch, batches_by_length, pad
from prunegrid.scoring.forward import hidden_states, predicting_states
from prunegrid.scoring.sequence_scores import sequence_head
from prunegrid.training.packed_passes import PackedPass, decode

GROUP_PADDING = 0.25  # share of padding in a group whose attention is computed together; fewer groups save more time

LayerScores = Callable[[AttentionInputs, Batch, torch.Tensor], tuple[torch.Tensor, ...]]
"""What is computed of the last layer's inputs, a padded batch and its hidden states: float32[R] each."""


def padded_scorer(
    model: Any, head: Head, whole: bool, capture: AttentionCapture | None, layer: LayerScores
) -> Callable[[Batch], tuple[torch.Tensor, ...]]:
    """The function that scores a batch: NLL, entropy, `whole`: entropy of the whole sequence, `layer`'s scores."""

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        hidden_BTD = hidden_states(model, batch)
        if whole:
            head_scores = sequence_head(head, hidden_BTD, batch)
        else:
            head_scores = head(predicting_states(hidden_BTD, batch), batch.targets_R)
        return (*head_scores, *(layer(capture.take(), batch, hidden_BTD) if capture else ()))

    return compute


def packed_scorer(
    model: Any, head: Head, whole: bool, capture: AttentionCapture | None, layer: LayerScores, batch_tokens: int
) -> Callable[[PackedPass], tuple[torch.Tensor, ...]]:
    """As `padded_scorer`, for packed samples."""

    def compute(packed: PackedPass) -> tuple[torch.Tensor, ...]:
        hidden_1TD = decode(model, packed)
        if whole:
            head_scores = packed_head(head, packed, hidden_1TD[0])
        else:
            head_scores = head(hidden_1TD[0, packed.response_R - 1], packed.ids_1T[0, packed.response_R])
        if not capture:
            return head_scores
        return (*head_scores, *group_scores(capture.take(), packed, hidden_1TD, layer, batch_tokens))

    return compute


def packed_head(head: Head, packed: PackedPass, hidden_TD: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As `sequence_head`, for packed samples. The borders between two samples are predicted, too, and not read."""
    nll_P, entropy_P = head(hidden_TD[:-1], packed.ids_1T[0, 1:])  # P = T - 1: all positions but the first
    length_N = torch.from_numpy(packed.rows.length_N).to(hidden_TD.device)
    place_T = torch.arange(int(packed.rows.length_N.max()) - 1, device=hidden_TD.device)
    place_NT = (packed.start_N[:, None] + place_T).clamp_max(len(entropy_P) - 1)
    counted_NT = place_T < length_N[:, None] - 1
    mean_N = (entropy_P[place_NT].double() * counted_NT).sum(1) / (length_N - 1)
    response_N = torch.from_numpy(packed.rows.response_N).to(hidden_TD.device)
    mean_R = mean_N.float().repeat_interleave(response_N, output_size=len(packed.response_R))
    return nll_P[packed.response_R - 1], entropy_P[packed.response_R - 1], mean_R


def group_scores(
    captured: AttentionInputs, packed: PackedPass, hidden_1TD: torch.Tensor, layer: LayerScores, batch_tokens: int
) -> tuple[torch.Tensor, ...]:
    """`layer`'s scores, for groups of samples that are padded on the right."""
    scores = []
    for group in batches_by_length(packed.rows.length_N, batch_tokens, GROUP_PADDING):
        batch = pad(packed.rows, group, hidden_1TD.device)
        place_T = torch.arange(batch.ids_BT.shape[1], device=hidden_1TD.device)
        start_B = packed.start_N[group[0] : group[-1] + 1]  # samples go from long to short: a group is a run of them
        # A group's padding shows the next samples' tokens, which no score reads.
        place_BT = (start_B[:, None] + place_T).clamp_max(hidden_1TD.shape[1] - 1)
        query_BHTD, key_BGTD = (x[0][:, place_BT].transpose(0, 1) for x in (captured.query_BHTD, captured.key_BGTD))
        group_capture = captured._replace(query_BHTD=query_BHTD, key_BGTD=key_BGTD)
        scores.append(layer(group_capture, batch, hidden_1TD[0, place_BT]))
    return tuple(torch.cat(column) for column in zip(*scores, strict=True))
