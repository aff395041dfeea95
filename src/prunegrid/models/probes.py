"""Probes of a loaded model on a few tokens: its attention, its head, its positions, the borders of packed samples.

They find out what `architecture` cannot tell from a configuration.
"""

from typing import Any

import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.models.architecture import (
    OTHER_MODEL,
    UNPACK,
    decoder_has_head,
    headless_decoder,
    logits_changed,
    positions_ignored,
)
from prunegrid.models.attention_capture import AttentionCapture


def attention_scores_unavailable(model: Any, layer: int = -1) -> str | None:
    """Why the layer's attention cannot be captured, or None if it can: tried on two tokens."""
    kind, decoder = model.config.model_type, model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is None or getattr(getattr(layers[layer], "self_attn", None), "config", None) is None:
        return f"model type {kind} has no attention at get_decoder().layers[{layer}].self_attn"
    with AttentionCapture(model, layer) as capture, torch.no_grad():
        decoder(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device), use_cache=False)
        inputs = capture.inputs
    if inputs is None:
        return f"model type {kind} does not use the attention interface of transformers in layer {layer}"
    if inputs.unsupported:
        names = ", ".join(inputs.unsupported)
        return f"model type {kind} changes its attention weights by {names}, which is not computed"
    return None


def check_plain_head(model: Any, module: Any) -> None:
    """Refuse a model that changes its logits after the head, and an adapted head."""
    if type(module).forward is not torch.nn.Linear.forward:
        problem = f"the head is a {type(module).__name__}, not a plain linear layer"
        raise PrunegridError(model.config.model_type, problem, "leave it out of lora.target_modules")
    if headless_decoder(model) is None:
        raise decoder_has_head(model)
    if changes_logits_after_head(model):
        raise logits_changed(model)


def changes_logits_after_head(model: Any) -> bool:
    """Whether the model's logits differ from its head's on a few tokens (a soft cap, a scale).

    Logits that are not finite are a `PrunegridError`.
    """
    ids_BT = torch.arange(1, 5, device=model.device)[None]
    with torch.no_grad():
        logits_BTV = model.forward(input_ids=ids_BT, use_cache=False).logits
        hidden_BTD = model.get_decoder()(input_ids=ids_BT, use_cache=False).last_hidden_state
        plain_BTV = model.get_output_embeddings()(hidden_BTD)
    if not logits_BTV.isfinite().all():
        raise non_finite_logits(model, "of the tokens 1 to 4")
    tolerance = 1e-5 * float(plain_BTV.abs().max())
    return not torch.allclose(logits_BTV.float(), plain_BTV.float(), rtol=1e-5, atol=tolerance)


def non_finite_logits(model: Any, context: str) -> PrunegridError:
    """The error of a model whose logits are not finite in this `context`."""
    problem = f"its logits {context} are not finite: its training diverged, or {model.dtype} has too little range"
    fix = "train it again with a lower learning rate, or choose a wider dtype"
    return PrunegridError(model.name_or_path or model.config.model_type, problem, fix)


def check_isolated(model: Any) -> None:
    """Refuse a model whose attention ignores borders: a packed sample must give the same result as on its own.

    The pass of a single sample gives a mask, which packed attention never gets: without one, transformers' own
    attentions mistake the gap in the positions for a border, and both passes would be equally wrong.
    """
    ids_1T = torch.arange(1, 7, device=model.device)[None]
    places_1T = torch.tensor([[0, 1, 2, 0, 1, 4]], device=model.device)
    decoder = model.get_decoder()
    with torch.no_grad():
        packed = decoder(input_ids=ids_1T, position_ids=places_1T, segments=[3, 3], use_cache=False)
        ids_1T, places_1T = ids_1T[:, 3:], places_1T[:, 3:]
        plain = {"attention_mask": torch.ones_like(ids_1T), "segments": [3], "use_cache": False}
        single_1TD = decoder(input_ids=ids_1T, position_ids=places_1T, **plain).last_hidden_state
    if (difference := _difference(packed.last_hidden_state[:, 3:], single_1TD)) > _tolerance(single_1TD):
        problem = f"a packed sample sees the one before it (difference {difference:.1e})"
        raise PrunegridError(model.config.model_type, problem, UNPACK)


def check_causal(model: Any) -> None:
    """Refuse a model whose tokens see later ones: it would be scored on tokens it has already read."""
    ids_BT = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device)
    with torch.no_grad():
        first_TD, second_TD = model.get_decoder()(input_ids=ids_BT, use_cache=False).last_hidden_state[:, :3]
    if not _difference(first_TD, second_TD) <= _tolerance(first_TD):
        raise PrunegridError(model.config.model_type, "its tokens see later ones", OTHER_MODEL)


def check_reads_positions(model: Any) -> None:
    """Refuse a model whose states ignore a gap in the position ids, which `removal: drop` relies on."""
    ids_BT = torch.tensor([[1, 2, 3], [1, 2, 3]], device=model.device)
    places_BT = torch.tensor([[0, 1, 2], [0, 1, 5]], device=model.device)
    with torch.no_grad():
        inputs = {"input_ids": ids_BT, "position_ids": places_BT, "attention_mask": torch.ones_like(ids_BT)}
        states_BTD = model.get_decoder()(**inputs, use_cache=False).last_hidden_state
    if torch.equal(*states_BTD):
        raise positions_ignored(model)


def _difference(states: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest expected value."""
    return float((states - expected).abs().max() / expected.abs().max())


def _tolerance(states: torch.Tensor) -> float:
    """The `_difference` that rounding may make."""
    return 1e-4 if states.dtype == torch.float32 else 5e-2
