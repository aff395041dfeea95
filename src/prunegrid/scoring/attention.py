"""Token scores from the attention of one layer: FastV and SparseVLM.

The layer runs on the model's own fast kernel. Its queries and keys are captured, and the weights that a score needs
are computed from them after the forward, a chunk of queries at a time: no length x length tensor exists.
"""

from collections.abc import Iterator, Sequence

import torch

from prunegrid.models.attention_capture import AttentionInputs
from prunegrid.scoring.batches import Batch

ELEMENTS = {"cpu": 2**21, "cuda": 2**26}  # attention weights of all heads that exist at a time


def attention_weights(layer: AttentionInputs, place_BQ: torch.Tensor, keys: int) -> torch.Tensor:
    """float32[B, Q, keys]: attention from the queries at `place_BQ` to the first `keys` keys, heads averaged."""
    row_B1 = torch.arange(len(place_BQ), device=place_BQ.device)[:, None]
    batch, groups, _, width = layer.key_BGTD.shape
    query_BQHD = layer.query_BHTD[row_B1, :, place_BQ]
    size, heads = query_BQHD.shape[1:3]
    # The heads that share a group's keys are put behind one another, as more queries of that group (X = Q x H / G):
    # one product a group, and keys are not repeated for each head.
    query_BGXD = query_BQHD.transpose(1, 2).reshape(batch, groups, -1, width)
    scores_BGXT = query_BGXD @ layer.key_BGTD[:, :, :keys].transpose(2, 3)
    scores_BHQT = scores_BGXT.mul_(layer.scaling).view(batch, heads, size, keys)
    if layer.mask is None:
        key_T = torch.arange(keys, device=place_BQ.device)
        visible_BQT = key_T <= place_BQ[:, :, None]
        if layer.window is not None:
            visible_BQT &= key_T > place_BQ[:, :, None] - layer.window
        mask_BHQT = visible_BQT[:, None]
    else:
        mask_BHQT = layer.mask.expand(batch, -1, -1, -1)[row_B1, :, place_BQ, :keys].transpose(1, 2)
    if mask_BHQT.dtype == torch.bool:
        scores_BHQT.masked_fill_(~mask_BHQT, torch.finfo(scores_BHQT.dtype).min)
    else:
        scores_BHQT += mask_BHQT
    weights_BQT: torch.Tensor = scores_BHQT.softmax(-1, dtype=torch.float32).mean(1)
    return weights_BQT


def query_chunks(
    layer: AttentionInputs, batch: Batch, whole: bool = False
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Attention of the response positions 0, 1, ... in chunks: (chunk, weights_BQT, valid_BQ).

    Where a response is shorter than the chunk, its last token fills the gap and `valid_BQ` is False. With `whole` the
    positions are those of prompt and response.
    """
    samples, length = batch.ids_BT.shape
    most_begin, most = (0, length) if whole else (batch.most_prompt, batch.most_response)
    begin_B1 = (torch.zeros_like(batch.prompt_B) if whole else batch.prompt_B)[:, None]
    query_elements = samples * layer.query_BHTD.shape[1] * length
    size = max(1, ELEMENTS[batch.ids_BT.device.type] // query_elements)
    for start in range(0, most, size):
        end = min(start + size, most)
        place_BQ = begin_B1 + torch.arange(start, end, device=batch.ids_BT.device)
        valid_BQ = place_BQ < batch.length_B[:, None]
        place_BQ = torch.minimum(place_BQ, batch.length_B[:, None] - 1)
        # No query of this chunk or of an earlier one sees a key behind the longest prompt plus `end` tokens.
        yield slice(start, end), attention_weights(layer, place_BQ, min(length, most_begin + end)), valid_BQ


def fastv_and_sparsevlm(
    layer: AttentionInputs, batch: Batch, hidden_BTD: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """float32[R] each: attention that a response token receives, and that it pays to the prompt's raters.

    FastV (Chen et al., ECCV 2024) sums the columns; in a causal model early positions are seen by more queries,
    so each sum is divided by the number of queries from that position on (its own included). Of several answers,
    each is scored by its own queries, and all that stands before it is its prompt, as in a row of its own.
    """
    if batch.turns:
        parts = [fastv_and_sparsevlm(turn.of_layer(layer), turn.batch, turn.of(hidden_BTD)) for turn in batch.turns]
        fastv_R, paid_R = (join_turns(batch, column) for column in zip(*parts, strict=True))
        return fastv_R, paid_R
    raters_BT = raters(hidden_BTD, batch)
    received_BT = torch.zeros(batch.ids_BT.shape, device=hidden_BTD.device)
    paid_BR = torch.zeros(len(batch.ids_BT), batch.most_response, device=hidden_BTD.device)
    for chunk, weights_BQT, valid_BQ in query_chunks(layer, batch):
        keys = weights_BQT.shape[-1]
        # The sum of each column over valid queries, as a product: a query that fills a gap adds nothing.
        received_BT[:, :keys] += (valid_BQ.float()[:, None] @ weights_BQT)[:, 0]
        paid_BR[:, chunk] = (weights_BQT @ raters_BT[:, :keys, None])[:, :, 0]
    sample_R, place_R = batch.sample_R, batch.place_R
    # Queries before `place_R` cannot see it and those of the prompt lie before it: length - place of them can.
    fastv_R = received_BT[sample_R, place_R] / (batch.length_B[sample_R] - place_R)
    return fastv_R, paid_BR[sample_R, place_R - batch.prompt_B[sample_R]]


def raters(hidden_BTD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32[B, T]: 1 / number of raters at the prompt's rater tokens, 0 elsewhere.

    SparseVLM (Zhang et al., ICML 2025), adapted: raters are the prompt tokens whose mean cosine similarity
    to the response's hidden states is at least the prompt's average. The original's direction, prompt to
    response, is zero in a causal model.
    """
    # The mean cosine is one product with the sum of the response's unit vectors. Dividing by their number is left out:
    # it scales all similarities of a sample alike, and they are only compared with one another.
    places_T = torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device)
    prompt_BT = places_T < batch.prompt_B[:, None]
    response_BT = ~prompt_BT & (places_T < batch.length_B[:, None])
    norm_BT = torch.linalg.vector_norm(hidden_BTD, dim=-1, dtype=torch.float32).clamp_min(1e-12)
    sum_B1D = (response_BT / norm_BT)[:, None] @ hidden_BTD.float()
    similarity_BT = (hidden_BTD.float() @ sum_B1D.transpose(1, 2))[:, :, 0] / norm_BT
    mean_B = (similarity_BT * prompt_BT).sum(1) / batch.prompt_B
    # A rounded mean can exceed every value that it is the mean of (a prompt of one token); then no rater would be left.
    largest_B = similarity_BT.masked_fill(~prompt_BT, -torch.inf).amax(1)
    raters_BT = prompt_BT & (similarity_BT >= torch.minimum(mean_B, largest_B)[:, None])
    share_BT: torch.Tensor = raters_BT / raters_BT.sum(1, keepdim=True)
    return share_BT


def paid_by_last_token(layer: AttentionInputs, batch: Batch) -> torch.Tensor:
    """float32[R]: attention that the last token of an answer pays to each of the answer's tokens."""
    if batch.turns:
        return join_turns(batch, [paid_by_last_token(turn.of_layer(layer), turn.batch) for turn in batch.turns])
    last_B1 = batch.length_B[:, None] - 1
    paid_R: torch.Tensor = attention_weights(layer, last_B1, batch.ids_BT.shape[1])[batch.sample_R, 0, batch.place_R]
    return paid_R


def join_turns(batch: Batch, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The values of all turns, in the batch's order."""
    values_R = torch.empty(len(batch.place_R), dtype=parts[0].dtype, device=parts[0].device)
    for turn, part_R in zip(batch.turns, parts, strict=True):
        values_R[turn.value_R] = part_R
    return values_R
