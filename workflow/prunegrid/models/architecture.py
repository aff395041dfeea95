"""What an architecture offers, from its configuration and classes alone: no weights are read."""

import inspect
from typing import Any

FOREIGN = ("softcap", "s_aux", "position_bias")  # arguments that change attention weights in ways we do not compute
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")  # keys of a configuration that bound attention
MASKED = ("eager", "sdpa")  # attention implementations that add the mask they are given
PACKED = "prunegrid_packed"
UNPACKED = "set training.packing: false"


def headless_decoder(model: Any) -> Any | None:
    """The model without its head; None where `get_decoder()` gives it with its head (Llama 4's language model)."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    return None if any(module is head for module in decoder.modules()) else decoder


def accepts_tree_masks(model: Any, config: Any) -> bool:
    """Whether the model adds a mask of any form, and takes positions that the mask does not tell."""
    decoder = headless_decoder(model)
    told = decoder is not None and "position_ids" in inspect.signature(decoder.forward).parameters
    return told and config._attn_implementation in MASKED and not getattr(config, "alibi", False)
