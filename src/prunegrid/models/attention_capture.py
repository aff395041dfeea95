"""What one attention layer sees in a forward pass: its queries, its keys, and what else decides its weights."""

import copy
import sys
from typing import Any, NamedTuple, Self

import torch
from transformers import AttentionInterface

from prunegrid.core.errors import PrunegridError
from prunegrid.models.architecture import UNSUPPORTED_ATTENTION

NAME = "prunegrid_capture"


class AttentionInputs(NamedTuple):
    """A layer's queries and keys after rotary embedding, and what else decides its weights.

    `mask` is the library's: None (causal), or one that broadcasts to [B, H, T, T], bool or additive.
    """

    query_BHTD: torch.Tensor
    key_BGTD: torch.Tensor
    mask: torch.Tensor | None
    scaling: float
    window: int | None
    foreign: list[str]


class AttentionCapture:
    """Within the block, `take()` gives what attention layer `layer` of the latest forward saw.

    Only that layer's module gets another attention function, which passes everything on to the model's own; so
    it serves every architecture that uses the library's attention interface.
    """

    def __init__(self, model: Any, layer: int = -1) -> None:
        self.module = model.get_decoder().layers[layer].self_attn
        self.config = self.module.config
        self.seen: AttentionInputs | None = None

    def __enter__(self) -> Self:
        eager = getattr(sys.modules[type(self.module).__module__], "eager_attention_forward", None)
        self.kernel = AttentionInterface().get_interface(self.config._attn_implementation, eager)
        AttentionInterface.register(NAME, self._attend)
        self.module.config = copy.copy(self.config)
        self.module.config._attn_implementation = NAME
        return self

    def __exit__(self, *_: object) -> None:
        self.module.config = self.config
        self.seen = None

    def take(self) -> AttentionInputs:
        seen, self.seen = self.seen, None
        if seen is None:
            raise PrunegridError("the layer whose attention is needed took no part in the forward pass")
        return seen

    def _attend(
        self,
        module: Any,
        query_BHTD: torch.Tensor,
        key_BGTD: torch.Tensor,
        value_BGTD: torch.Tensor,
        attention_mask: Any,
        scaling: float | None = None,
        **others: Any,
    ) -> Any:
        foreign = [name for name in UNSUPPORTED_ATTENTION if others.get(name) is not None]
        scale = query_BHTD.shape[-1] ** -0.5 if scaling is None else scaling
        self.seen = AttentionInputs(query_BHTD, key_BGTD, attention_mask, scale, others.get("sliding_window"), foreign)
        return self.kernel(module, query_BHTD, key_BGTD, value_BGTD, attention_mask, scaling=scaling, **others)
