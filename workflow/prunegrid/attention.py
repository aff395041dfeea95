"""Attention of the final layer, and the two token scores made of it (FastV, SparseVLM)."""

import copy
from typing import Any, Self

import torch
from torch.nn.functional import normalize
from transformers import AttentionInterface

NAME = "prunegrid_final_attention"


class FinalAttention:
    """Within the block, `mean_BTT` holds the latest forward's final-layer attention (query, key), heads averaged.

    The other layers keep their fast kernels: only the final layer's module gets another attention function,
    which sees queries and keys after rotary embedding, so it serves every architecture that uses the
    library's attention interface.
    """

    mean_BTT: torch.Tensor

    def __init__(self, model: Any) -> None:
        self.module = model.get_decoder().layers[-1].self_attn
        self.config = self.module.config

    def __enter__(self) -> Self:
        AttentionInterface.register(NAME, self._attend)
        self.module.config = copy.copy(self.config)
        self.module.config._attn_implementation = NAME
        return self

    def __exit__(self, *_: object) -> None:
        self.module.config = self.config

    def _attend(
        self,
        module: Any,
        query_BHTD: torch.Tensor,
        key_BGTD: torch.Tensor,
        value_BGTD: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        groups = query_BHTD.shape[1] // key_BGTD.shape[1]
        key_BHTD = key_BGTD.repeat_interleave(groups, dim=1)
        value_BHTD = value_BGTD.repeat_interleave(groups, dim=1)
        scores_BHTT = query_BHTD @ key_BHTD.transpose(2, 3) * scaling
        weights_BHTT = (scores_BHTT + _additive(attention_mask, scores_BHTT)).softmax(-1, dtype=torch.float32)
        self.mean_BTT = weights_BHTT.mean(1)
        return (weights_BHTT.to(value_BHTD.dtype) @ value_BHTD).transpose(1, 2).contiguous(), weights_BHTT


def _additive(mask: torch.Tensor | None, scores: torch.Tensor) -> torch.Tensor:
    """The library's mask (None: causal; bool: may attend; float: additive) as an additive one."""
    if mask is not None and mask.dtype != torch.bool:
        return mask
    length = scores.shape[-1]
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=scores.device).tril()
    return torch.zeros_like(mask, dtype=scores.dtype).masked_fill(~mask, torch.finfo(scores.dtype).min)


def received(weights_TT: torch.Tensor) -> torch.Tensor:
    """float32[T]: attention that each position receives, averaged over the queries that can see it.

    FastV (Chen et al., ECCV 2024) sums the columns; in a causal model early positions are seen by more
    queries, so each sum is divided by the number of queries from that position on (its own included).
    """
    length = weights_TT.shape[0]
    return weights_TT.sum(0) / torch.arange(length, 0, -1, device=weights_TT.device)


def to_raters(weights_TT: torch.Tensor, hidden_TD: torch.Tensor, start: int) -> torch.Tensor:
    """float32[R]: attention that each response position (from `start` on) pays to the prompt's rater tokens.

    SparseVLM (Zhang et al., ICML 2025), adapted: raters are the prompt tokens whose mean cosine similarity
    to the response's hidden states is at least the prompt's average. The original's direction, prompt to
    response, is zero in a causal model.
    """
    unit_TD = normalize(hidden_TD.float(), dim=-1)
    similarity_P = unit_TD[:start] @ unit_TD[start:].mean(0)
    raters_P = similarity_P >= torch.minimum(similarity_P.mean(), similarity_P.max())
    return weights_TT[start:, :start][:, raters_P].mean(1)
