"""Optional scores of a forward over prompt and response: of its attention, its entropies, its hidden states.

`sequence_entropy`, `fastv_rank` and `sparsevlm_kept` are as in the authors' working copy of September 2025, but for a
sample alone: in that copy padding takes part, and so what else is in the batch. A score of a sample stands at each of
its response tokens.
"""

from collections.abc import Callable

import torch

from prunegrid.models.attention_capture import AttentionInputs
from prunegrid.models.head import Head
from prunegrid.scoring.attention import join_turns, query_chunks
from prunegrid.scoring.batches import Batch

Weights = Callable[[torch.Tensor, Batch], torch.Tensor]


def sequence_head(head: Head, hidden_BTD: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, ...]:
    """float32[R] each: NLL and entropy of the response tokens, and the mean entropy of all positions but the first.

    The head runs once, over all predicted positions, a chunk of logits at a time.
    """
    end_B = batch.length_B.clone()
    for turn in batch.turns:
        end_B[turn.rows_M] = turn.batch.length_B
    place_T = torch.arange(batch.ids_BT.shape[1], device=end_B.device)
    sample_P, place_P = ((place_T >= 1) & (place_T < end_B[:, None])).nonzero(as_tuple=True)
    values = head(hidden_BTD[sample_P, place_P - 1], batch.ids_BT[sample_P, place_P])
    nll_BT, entropy_BT = (torch.zeros(batch.ids_BT.shape, device=end_B.device) for _ in values)
    for all_BT, value_P in zip((nll_BT, entropy_BT), values, strict=True):
        all_BT[sample_P, place_P] = value_P
    response = batch.sample_R, batch.place_R
    return nll_BT[response], entropy_BT[response], sequence_means(entropy_BT, batch)


def sequence_means(value_BT: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32[R]: at each response token the mean of the values over its sequence, its first position left out."""
    if batch.turns:
        turns = batch.turns
        return join_turns(batch, [sequence_means(value_BT[turn.rows_M], turn.batch) for turn in turns])
    place_T = torch.arange(value_BT.shape[1], device=value_BT.device)
    counted_BT = (place_T >= 1) & (place_T < batch.length_B[:, None])
    mean_B = (value_BT.double() * counted_BT).sum(1) / (batch.length_B - 1)
    return mean_B.float()[batch.sample_R]


def answer_means(hidden_BTD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32[S, D]: for each answer, conversation by conversation, the mean of its tokens' hidden states."""
    return _pooled(hidden_BTD, batch, _response_weights)


def position_weighted_means(hidden_BTD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32[S, D]: for each answer, the mean over its whole sequence, where the p-th token, from 1, weighs p."""
    return _pooled(hidden_BTD, batch, _position_weights)


def _response_weights(place_T: torch.Tensor, batch: Batch) -> torch.Tensor:
    return (place_T >= batch.prompt_B[:, None]) & (place_T < batch.length_B[:, None])


def _position_weights(place_T: torch.Tensor, batch: Batch) -> torch.Tensor:
    return (place_T + 1) * (place_T < batch.length_B[:, None])


def _pooled(hidden_BTD: torch.Tensor, batch: Batch, weights: Weights) -> torch.Tensor:
    """float32[S, D]: the mean of the hidden states of each answer's sequence under `weights`, which gives [B, T]."""
    if not batch.turns:
        weight_BT = weights(torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device), batch)
        share_BT = weight_BT / weight_BT.sum(1, keepdim=True)
        return (share_BT[:, None] @ hidden_BTD.float())[:, 0]
    number_B = torch.zeros_like(batch.prompt_B)
    for turn in batch.turns:
        number_B[turn.rows_M] += 1
    begin_B, end = number_B.cumsum(0) - number_B, int(number_B.sum())
    means_SD = torch.empty(end, hidden_BTD.shape[2], device=hidden_BTD.device)
    for number, turn in enumerate(batch.turns):
        means_SD[begin_B[turn.rows_M] + number] = _pooled(turn.of(hidden_BTD), turn.batch, weights)
    return means_SD


def layer_scores(
    names: tuple[str, ...],
    layer: AttentionInputs,
    batch: Batch,
    hidden_BTD: torch.Tensor,
    special_S: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """float32[R] each: the scores `names` of the response tokens. `special_S` are ids that are no candidates."""
    if batch.turns:
        parts = [
            layer_scores(names, turn.of_layer(layer), turn.batch, turn.of(hidden_BTD), special_S)
            for turn in batch.turns
        ]
        return tuple(join_turns(batch, column) for column in zip(*parts, strict=True))
    place_T = torch.arange(batch.ids_BT.shape[1], device=batch.ids_BT.device)
    candidate_BT = (place_T < batch.length_B[:, None]) & ~torch.isin(batch.ids_BT, special_S)
    computed = {"fastv_rank": fastv_rank, "prompt_attention": prompt_attention, "sparsevlm_kept": sparsevlm_kept}
    response = batch.sample_R, batch.place_R
    return tuple(computed[name](layer, batch, hidden_BTD, candidate_BT)[response] for name in names)


def fastv_rank(layer: AttentionInputs, batch: Batch, _hidden: torch.Tensor, candidate_BT: torch.Tensor) -> torch.Tensor:
    """float32[B, T]: how many candidates of the sequence receive more attention than each position.

    Of equal ones those that stand earlier count, too. Attention is the mean over heads and over all queries. Special
    tokens of the response come after all candidates, in their order, so that no two response tokens share a rank.
    """
    received_BT = torch.zeros(candidate_BT.shape, device=candidate_BT.device)
    for _, weights_BQT, valid_BQ in query_chunks(layer, batch, whole=True):
        received_BT[:, : weights_BQT.shape[-1]] += (valid_BQ.float()[:, None] @ weights_BQT)[:, 0]
    place_T = torch.arange(candidate_BT.shape[1], device=candidate_BT.device)
    ranked_BT = candidate_BT | (place_T >= batch.prompt_B[:, None])
    order_BT = received_BT.masked_fill(~candidate_BT, -1).argsort(dim=1, descending=True, stable=True)
    ordered_BT = ranked_BT.gather(1, order_BT).long()
    before_BT = ordered_BT.cumsum(1) - ordered_BT
    return torch.empty_like(before_BT).scatter_(1, order_BT, before_BT).float()


def prompt_attention(
    layer: AttentionInputs, batch: Batch, hidden_BTD: torch.Tensor, _candidates: torch.Tensor
) -> torch.Tensor:
    """float32[B, T]: attention that each response position pays to all of its prompt, heads averaged; elsewhere 0."""
    length = hidden_BTD.shape[1]
    prompt_BT = (torch.arange(length, device=hidden_BTD.device) < batch.prompt_B[:, None]).float()
    # Responses stand at their places, as a chunk does: behind the longest prompt there may be room for more of them.
    paid_BT = torch.zeros(len(prompt_BT), length + batch.most_response, device=hidden_BTD.device)
    for chunk, weights_BQT, valid_BQ in query_chunks(layer, batch):
        paid_BQ = (weights_BQT @ prompt_BT[:, : weights_BQT.shape[-1], None])[:, :, 0] * valid_BQ
        place_Q = torch.arange(chunk.start, chunk.stop, device=hidden_BTD.device)
        paid_BT.scatter_add_(1, batch.prompt_B[:, None] + place_Q, paid_BQ)
    return paid_BT[:, :length]


def sparsevlm_kept(
    layer: AttentionInputs, batch: Batch, hidden_BTD: torch.Tensor, candidate_BT: torch.Tensor
) -> torch.Tensor:
    """float32[B, T]: 1 where a position is kept, else 0.

    Kept are the N positions of the lowest score: half the attention received less half the mean cosine similarity of
    the last hidden states with all positions. N = length - 1 - numerical rank of the head-mean attention matrix, at
    most the number of candidates - 1, and at least 1. Of equal scores the earlier position is kept.
    """
    kept_BT = torch.zeros(candidate_BT.shape, device=candidate_BT.device)
    weights_BTT = torch.zeros(*candidate_BT.shape, candidate_BT.shape[1], device=candidate_BT.device)
    for chunk, weights_BQT, _ in query_chunks(layer, batch, whole=True):
        weights_BTT[:, chunk, : weights_BQT.shape[-1]] = weights_BQT
    for row, length in enumerate(batch.length_B.tolist()):
        weights_TT = weights_BTT[row, :length, :length]
        direction_TD = torch.nn.functional.normalize(hidden_BTD[row, :length].float(), dim=-1)
        score_T = (weights_TT.mean(0) - direction_TD @ direction_TD.mean(0)) / 2
        number = min(length - 1 - int(torch.linalg.matrix_rank(weights_TT)), int(candidate_BT[row].sum()) - 1)
        kept_BT[row, score_T.argsort(stable=True)[: max(1, number)]] = 1
    return kept_BT
