"""Attention over packed samples, one after another in a row, none of which sees another.

Registered with transformers' attention interface as `prunegrid_packed`. A decoder passes `segments`, the samples'
lengths, and `borders`, where they begin and end, to its attention. On a GPU in half precision they go through torch's
variable-length flash attention, elsewhere through one causal SDPA for each sample. That equals a block-diagonal mask at
the cost of its blocks alone, and reads no position ids, so gaps of dropped tokens are not mistaken for borders.
"""

import inspect
from functools import cache, partial
from itertools import accumulate
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from prunegrid.core.errors import PrunegridError
from prunegrid.models.architecture import PACKED, UNPACK, UNSUPPORTED_ATTENTION


def segment_borders(lengths: list[int]) -> torch.Tensor:
    """int32[N + 1]: where packed samples of these lengths begin and end. Computed once for each pass, on the host."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)


def packed_attention(
    module: Any,
    query_BHTD: torch.Tensor,
    key_BGTD: torch.Tensor,
    value_BGTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    segments: list[int] | None = None,
    borders: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The output [B, T, H, D]. Without `segments` each row is one sample, padded on the right or not at all."""
    unsupported = [name for name in UNSUPPORTED_ATTENTION if options.get(name) is not None]
    if unsupported or attention_mask is not None:
        used = ", ".join(unsupported) or "a mask"
        raise PrunegridError(module.__class__.__name__, f"attends with {used}, which packing does not support", UNPACK)
    lengths = segments or [query_BHTD.shape[2]]
    if segments and not dropout and _has_flash(query_BHTD):
        if borders is None:
            borders = segment_borders(lengths).to(query_BHTD.device)
        longest = max(lengths)
        return _variable_length(query_BHTD, key_BGTD, value_BGTD, borders, longest, scaling, sliding_window), None
    parts = (tensor.split(lengths, dim=2) for tensor in (query_BHTD, key_BGTD, value_BGTD))
    outputs = [_causal(q, k, v, scaling, dropout, sliding_window) for q, k, v in zip(*parts, strict=True)]
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def _has_flash(query_BHTD: torch.Tensor) -> bool:
    half = query_BHTD.dtype in (torch.float16, torch.bfloat16)
    return query_BHTD.is_cuda and half and torch.cuda.get_device_capability(query_BHTD.device) >= (8, 0)


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, dropout: float, window: int | None
) -> torch.Tensor:
    """Causal SDPA of one sample, banded if it is longer than the sliding window."""
    length, groups = query.shape[2], query.shape[1] // key.shape[1]
    if groups > 1 and query.is_cuda and query.dtype == torch.float32:  # else torch takes its T x T kernel
        key, value, groups = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1), 1
    mask = None
    if window is not None and length > window:
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril().triu(1 - window)
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale, enable_gqa=groups > 1
    )


def _variable_length(
    query_BHTD: torch.Tensor,
    key_BGTD: torch.Tensor,
    value_BGTD: torch.Tensor,
    borders: torch.Tensor,
    longest: int,
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    """Flash attention of all samples in one call [1, T, H, D]."""
    query_THD, key_TGD, value_TGD = (x[0].transpose(0, 1) for x in (query_BHTD, key_BGTD, value_BGTD))
    output_THD: torch.Tensor = _flash(query_THD.shape[1] != key_TGD.shape[1])(
        query_THD, key_TGD, value_TGD, borders, borders, longest, longest,
        scale=scale, window_size=(-1, 0) if window is None else (window - 1, 0),
    )  # fmt: skip
    return output_THD[None]


@cache
def _flash(grouped: bool) -> Any:
    """torch's function. Since torch 2.12 it refuses grouped heads without a flag that 2.11 lacks; the kernel takes them
    in both."""
    has_flag = "enable_gqa" in inspect.signature(varlen_attn).parameters
    return partial(varlen_attn, enable_gqa=True) if grouped and has_flag else varlen_attn


AttentionInterface.register(PACKED, packed_attention)
