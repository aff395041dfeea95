"""Capture what one attention layer receives in a forward pass: queries, keys, and what else decides its weights."""

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

    `mask` is transformers': None (causal), or one that broadcasts to [B, H, T, T], bool or additive. `unsupported`
    names arguments that change the weights in ways that are not computed here.
    """

    query_BHTD: torch.Tensor
    key_BGTD: torch.Tensor
    mask: torch.Tensor | None
    scaling: float
    window: int | None
    unsupported: list[str]


class AttentionCapture:
    """Within the block, `take()` gives the inputs of attention layer `layer` in the latest forward.

    Only that layer's module gets another attention function, which passes everything on to the model's own. So it
    works for every architecture that uses transformers' attention interface.
    """

    def __init__(self, model: Any, layer: int = -1) -> None:
        self.module = model.get_decoder().layers[layer].self_attn
        self.name = f"{NAME}_{layer}"  # two may be captured at a time
        self.config = self.module.config
        self.inputs: AttentionInputs | None = None

    def __enter__(self) -> Self:
        eager = getattr(sys.modules[type(self.module).__module__], "eager_attention_forward", None)
        self.kernel = AttentionInterface().get_interface(self.config._attn_implementation, eager)
        AttentionInterface.register(self.name, self._attend)
        # The layers share one configuration, which names the implementation: this layer gets a copy with another name.
        self.module.config = copy.copy(self.config)
        self.module.config._attn_implementation = self.name
        return self

    def __exit__(self, *_: object) -> None:
        self.module.config = self.config
        self.inputs = None

    def take(self) -> AttentionInputs:
        inputs, self.inputs = self.inputs, None
        if inputs is None:
            raise PrunegridError("attention", "the layer whose attention is needed took no part in the forward pass")
        return inputs

    def _attend(
        self,
        module: Any,
        query_BHTD: torch.Tensor,
        key_BGTD: torch.Tensor,
        value_BGTD: torch.Tensor,
        attention_mask: Any,
        scaling: float | None = None,
        **keywords: Any,
    ) -> Any:
        unsupported = [name for name in UNSUPPORTED_ATTENTION if keywords.get(name) is not None]
        scale = query_BHTD.shape[-1] ** -0.5 if scaling is None else scaling
        window = keywords.get("sliding_window")
        self.inputs = AttentionInputs(query_BHTD, key_BGTD, attention_mask, scale, window, unsupported)
        return self.kernel(module, query_BHTD, key_BGTD, value_BGTD, attention_mask, scaling=scaling, **keywords)
