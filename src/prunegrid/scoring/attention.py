"""Attention of one layer at chosen queries, and the token scores made of it (FastV, SparseVLM).

The layer runs on the model's own fast kernel; its queries and keys are kept, and the weights that a score needs
are computed from them after the forward, a chunk of queries at a time: no length x length tensor exists.
"""

from collections.abc import Iterator

import torch

from prunegrid.models.attention_capture import AttentionInputs
from prunegrid.scoring.batches import Batch

ELEMENTS = {"cpu": 2**21, "cuda": 2**26}


def weights(seen: AttentionInputs, place_BQ: torch.Tensor, upto: int) -> torch.Tensor:
    """float32[B, Q, upto]: attention from the queries at `place_BQ` to the first `upto` keys, heads averaged."""
    of_B = torch.arange(len(place_BQ), device=place_BQ.device)[:, None]
    batch, groups, _, width = seen.key_BGTD.shape
    query_BQHD = seen.query_BHTD[of_B, :, place_BQ]
    size, heads = query_BQHD.shape[1:3]
    query_BGSD = query_BQHD.transpose(1, 2).reshape(batch, groups, -1, width)
    scores_BGST = query_BGSD @ seen.key_BGTD[:, :, :upto].transpose(2, 3)
    scores_BHQT = scores_BGST.mul_(seen.scaling).view(batch, heads, size, upto)
    if seen.mask is None:
        key_T = torch.arange(upto, device=place_BQ.device)
        visible_BQT = key_T <= place_BQ[:, :, None]
        if seen.window is not None:
            visible_BQT &= key_T > place_BQ[:, :, None] - seen.window
        mask_BHQT = visible_BQT[:, None]
    else:
        mask_BHQT = seen.mask.expand(batch, -1, -1, -1)[of_B, :, place_BQ, :upto].transpose(1, 2)
    if mask_BHQT.dtype == torch.bool:
        scores_BHQT.masked_fill_(~mask_BHQT, torch.finfo(scores_BHQT.dtype).min)
    else:
        scores_BHQT += mask_BHQT
    weights_BQT: torch.Tensor = scores_BHQT.softmax(-1, dtype=torch.float32).mean(1)
    return weights_BQT


def of_responses(seen: AttentionInputs, batch: Batch) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Chunks of the response positions 0, 1, ...: (chunk, weights_BQT, valid_BQ); shorter ones repeat their end."""
    samples, length = batch.ids_BT.shape
    row = samples * seen.query_BHTD.shape[1] * length
    size = max(1, ELEMENTS[batch.ids_BT.device.type] // row)
    for start in range(0, batch.most_response, size):
        end = min(start + size, batch.most_response)
        place_BQ = batch.prompt_B[:, None] + torch.arange(start, end, device=batch.ids_BT.device)
        valid_BQ = place_BQ < batch.length_B[:, None]
        place_BQ = torch.minimum(place_BQ, batch.length_B[:, None] - 1)
        yield slice(start, end), weights(seen, place_BQ, min(length, batch.most_prompt + end)), valid_BQ


def fastv_and_sparsevlm(
    seen: AttentionInputs, batch: Batch, hidden_BTD: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """float32[R] each: attention that a response token receives, and that it pays to the prompt's raters.

    FastV (Chen et al., ECCV 2024) sums the columns; in a causal model early positions are seen by more queries,
    so each sum is divided by the number of queries from that position on (its own included).
    """
    raters_BT = raters(hidden_BTD, batch)
    received_BT = torch.zeros(batch.ids_BT.shape, device=hidden_BTD.device)
    paid_BR = torch.zeros(len(batch.ids_BT), batch.most_response, device=hidden_BTD.device)
    for chunk, weights_BQT, valid_BQ in of_responses(seen, batch):
        upto = weights_BQT.shape[-1]
        received_BT[:, :upto] += (valid_BQ.float()[:, None] @ weights_BQT)[:, 0]
        paid_BR[:, chunk] = (weights_BQT @ raters_BT[:, :upto, None])[:, :, 0]
    sample_R, place_R = batch.sample_R, batch.place_R
    fastv_R = received_BT[sample_R, place_R] / (batch.length_B[sample_R] - place_R)
    return fastv_R, paid_BR[sample_R, place_R - batch.prompt_B[sample_R]]


def raters(hidden_BTD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32[B, T]: 1 / number of raters at the prompt's rater tokens, 0 elsewhere.

    SparseVLM (Zhang et al., ICML 2025), adapted: raters are the prompt tokens whose mean cosine similarity
    to the response's hidden states is at least the prompt's average. The original's direction, prompt to
    response, is zero in a causal model.
    """
    places_T = torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device)
    prompt_BT = places_T < batch.prompt_B[:, None]
    response_BT = ~prompt_BT & (places_T < batch.length_B[:, None])
    norm_BT = torch.linalg.vector_norm(hidden_BTD, dim=-1, dtype=torch.float32).clamp_min(1e-12)
    mean_B1D = (response_BT / norm_BT)[:, None] @ hidden_BTD.float()
    similarity_BT = (hidden_BTD.float() @ mean_B1D.transpose(1, 2))[:, :, 0] / norm_BT
    mean_B = (similarity_BT * prompt_BT).sum(1) / batch.prompt_B
    most_B = similarity_BT.masked_fill(~prompt_BT, -torch.inf).amax(1)
    raters_BT = prompt_BT & (similarity_BT >= torch.minimum(mean_B, most_B)[:, None])
    share_BT: torch.Tensor = raters_BT / raters_BT.sum(1, keepdim=True)
    return share_BT


def from_last(seen: AttentionInputs, batch: Batch) -> torch.Tensor:
    """float32[R]: attention that the last token of the sequence pays to each response token."""
    last_B1 = batch.length_B[:, None] - 1
    paid_R: torch.Tensor = weights(seen, last_B1, batch.ids_BT.shape[1])[batch.sample_R, 0, batch.place_R]
    return paid_R
