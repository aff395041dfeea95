"""What a loaded model does on a few tokens: its attention, its head and the borders of packed samples."""

from typing import Any

import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.models.architecture import OTHER_MODEL, UNPACKED, headless_decoder, positions_ignored
from prunegrid.models.attention_capture import AttentionCapture


def attention_scores_unavailable(model: Any, layer: int = -1) -> str | None:
    """Why the layer's attention cannot be read, or None where it can: a forward of two tokens tells."""
    kind, decoder = model.config.model_type, model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is None or getattr(getattr(layers[layer], "self_attn", None), "config", None) is None:
        return f"model type {kind} has no attention at get_decoder().layers[{layer}].self_attn"
    with AttentionCapture(model, layer) as capture, torch.no_grad():
        decoder(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device), use_cache=False)
        seen = capture.seen
    if seen is None:
        return f"model type {kind} does not use the attention interface of transformers in layer {layer}"
    if seen.foreign:
        return f"model type {kind} changes its attention weights by {', '.join(seen.foreign)}, which is not computed"
    return None


def check_plain_head(model: Any, module: Any) -> None:
    """Refuse a model that changes its logits after the head, and an adapted head."""
    if type(module).forward is not torch.nn.Linear.forward:
        raise PrunegridError(
            f"{type(module).__name__}: the head is no plain linear layer; leave it out of lora.target_modules"
        )
    kind = model.config.model_type
    if headless_decoder(model) is None:
        raise PrunegridError(f"{kind}: get_decoder() is the model with its head; the scoring pass needs it without")
    if changes_logits_after_head(model):
        raise PrunegridError(f"{kind}: it changes its logits after the head, which the scoring pass does not")


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
    near = 1e-5 * float(plain_BTV.abs().max())
    return not torch.allclose(logits_BTV.float(), plain_BTV.float(), rtol=1e-5, atol=near)


def non_finite_logits(model: Any, what: str) -> PrunegridError:
    """The error of a model whose logits are not numbers."""
    return PrunegridError(
        f"{model.name_or_path or model.config.model_type}: its logits {what} are not finite: its training diverged "
        f"(train it again, with a lower learning rate), or {model.dtype} is too narrow for it"
    )


def check_isolated(model: Any) -> None:
    """Refuse a model whose attention ignores the borders: two short samples must come out as each alone does.

    Alone it has a mask, which the packed attention never sees: without one, transformers' own attentions take the
    gap in the positions for a border, and both would come out wrong alike.
    """
    ids_1T = torch.arange(1, 7, device=model.device)[None]
    places_1T = torch.tensor([[0, 1, 2, 0, 1, 4]], device=model.device)
    decoder = model.get_decoder()
    with torch.no_grad():
        both = decoder(input_ids=ids_1T, position_ids=places_1T, segments=[3, 3], use_cache=False).last_hidden_state
        alone = decoder(
            input_ids=ids_1T[:, 3:],
            position_ids=places_1T[:, 3:],
            attention_mask=torch.ones_like(ids_1T[:, 3:]),
            segments=[3],
            use_cache=False,
        ).last_hidden_state
    far = float((both[:, 3:] - alone).abs().max() / alone.abs().max())
    if far > (1e-4 if alone.dtype == torch.float32 else 5e-2):
        kind = model.config.model_type
        raise PrunegridError(f"{kind}: a packed sample sees the one before it (difference {far:.1e}); {UNPACKED}")


def check_causal(model: Any) -> None:
    """Refuse a model whose tokens see those behind them: it would be scored on what it has read."""
    ids_BT = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device)
    with torch.no_grad():
        one_TD, other_TD = model.get_decoder()(input_ids=ids_BT, use_cache=False).last_hidden_state[:, :3]
    if not _near(one_TD, other_TD):
        raise PrunegridError(f"{model.config.model_type}: its tokens see those behind them; {OTHER_MODEL}")


def check_reads_positions(model: Any) -> None:
    """Refuse a model to which a gap in the position ids makes no difference: `removal: drop` needs it."""
    ids_BT = torch.tensor([[1, 2, 3], [1, 2, 3]], device=model.device)
    places_BT = torch.tensor([[0, 1, 2], [0, 1, 5]], device=model.device)
    with torch.no_grad():
        states_BTD = model.get_decoder()(
            input_ids=ids_BT, position_ids=places_BT, attention_mask=torch.ones_like(ids_BT), use_cache=False
        ).last_hidden_state
    if torch.equal(*states_BTD):
        raise positions_ignored(model)


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    far = float((one - other).abs().max() / other.abs().max())
    return far <= (1e-4 if one.dtype == torch.float32 else 5e-2)
