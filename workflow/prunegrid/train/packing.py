"""Attention over samples that are packed behind one another, none of which sees another.

Registered with transformers' attention interface as `prunegrid_packed`. A decoder hands `segments`, the samples'
lengths, on to its attention; on a GPU in half precision they go through torch's variable-length flash
attention, elsewhere through one causal SDPA a sample. That equals a block-diagonal mask, at the cost of the
blocks alone, and knows no position ids, so dropped tokens' gaps are no borders.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from prunegrid.errors import PrunegridError
from prunegrid.models.architecture import FOREIGN, PACKED, UNPACKED

NAME = PACKED


def packed_attention(
    module: Any,
    query_BHTD: torch.Tensor,
    key_BGTD: torch.Tensor,
    value_BGTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    segments: list[int] | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """The output [B, T, H, D]. Without `segments` each row is one sample, padded on the right or not at all."""
    foreign = [name for name in FOREIGN if others.get(name) is not None]
    if foreign or attention_mask is not None:
        what = ", ".join(foreign) or "a mask"
        raise PrunegridError(f"{module.__class__.__name__} attends by {what}, which packing does not know; {UNPACKED}")
    lengths = segments or [query_BHTD.shape[2]]
    if segments and not dropout and _has_flash(query_BHTD):
        return _variable_length(query_BHTD, key_BGTD, value_BGTD, lengths, scaling, sliding_window), None
    parts = (tensor.split(lengths, dim=2) for tensor in (query_BHTD, key_BGTD, value_BGTD))
    outputs = [_causal(q, k, v, scaling, dropout, sliding_window) for q, k, v in zip(*parts, strict=True)]
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def _has_flash(query_BHTD: torch.Tensor) -> bool:
    half = query_BHTD.dtype in (torch.float16, torch.bfloat16)
    return query_BHTD.is_cuda and half and torch.cuda.get_device_capability(query_BHTD.device) >= (8, 0)


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, dropout: float, window: int | None
) -> torch.Tensor:
    """Causal SDPA of one stretch, banded where it is longer than the sliding window."""
    length = query.shape[2]
    mask = None
    if window is not None and length > window:
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril().triu(1 - window)
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale, enable_gqa=True
    )


def _variable_length(
    query_BHTD: torch.Tensor,
    key_BGTD: torch.Tensor,
    value_BGTD: torch.Tensor,
    lengths: list[int],
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    """Flash attention of all samples in one call [1, T, H, D]. Written against torch 2.13's docs; no GPU was there."""
    from torch.nn.attention.varlen import varlen_attn

    query_THD, key_TGD, value_TGD = (x[0].transpose(0, 1) for x in (query_BHTD, key_BGTD, value_BGTD))
    borders = torch.tensor([0, *lengths], device=query_BHTD.device).cumsum(0).to(torch.int32)
    size = (-1, 0) if window is None else (window - 1, 0)
    output_THD: Any = varlen_attn(
        query_THD, key_TGD, value_TGD, borders, borders, max(lengths), max(lengths),
        scale=scale, window_size=size, enable_gqa=query_THD.shape[1] != key_TGD.shape[1],
    )  # fmt: skip
    attended: torch.Tensor = output_THD[None]
    return attended


AttentionInterface.register(NAME, packed_attention)
