"""What an architecture offers, from its configuration and classes alone: no weights are read.

Its modules are built on torch's meta device at full size, which takes no memory, and a forward pass there shows what
reaches each attention layer. `probes` checks with the weights what this cannot tell.
"""

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.models.folder import check_complete
from prunegrid.models.remote_code import may_run_code

UNSUPPORTED_ATTENTION = (
    "softcap",
    "s_aux",
    "position_bias",
)  # arguments that change attention weights in ways we do not compute
WINDOW_KEYS = ("sliding_window", "attention_chunk_size", "window_size")  # keys of a configuration that bound attention
MASKED = ("eager", "sdpa")  # attention implementations that add the mask they are given
LOGIT_CHANGES = ("final_logit_softcapping", "logits_soft_cap", "logits_scaling", "logit_scale")
PACKED = "prunegrid_packed"
RECORDED = "prunegrid_recorded"
UNPACKED = "set training.packing: false"
OTHER_MODEL = "choose another model"


class TrainingAttention(NamedTuple):
    """The attention implementation that a model is trained with, and why its samples are padded if they are."""

    implementation: str
    padded_because: str | None = None

    @property
    def packed(self) -> bool:
        return self.padded_because is None

    def as_json(self) -> dict[str, Any]:
        return {"implementation": self.implementation, "packed": self.packed, "reason": self.padded_because}


def training_attention(folder: Path, packing: bool) -> TrainingAttention:
    """Packed if `packing` is set and the architecture supports it, else padded with SDPA or, without SDPA, eager."""
    because = packing_unsupported(folder) if packing else "training.packing is false"
    if because is None:
        return TrainingAttention(PACKED)
    return TrainingAttention("sdpa" if meta_model(folder)._supports_sdpa else "eager", because)


def check_trainable(folder: Path, packing: bool, removals: Collection[str]) -> str:
    """How the model is trained, in words; refused if it cannot be scored or lacks what one of `removals` needs."""
    model = meta_model(folder)
    if unscorable := scoring_unsupported(model):
        raise PrunegridError(f"{unscorable}; {OTHER_MODEL}")
    if "drop" in removals:
        check_positions(model)
    attention = training_attention(folder, packing)
    if attention.packed:
        return "trained packed"
    return f"trained padded with {attention.implementation} attention: {attention.padded_because}"


def meta_model(folder: Path, attention: str | None = None) -> Any:
    """The model of the folder's config.json on the meta device; `attention` is transformers' choice by default."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    check_complete(folder)
    options = {} if attention is None else {"attn_implementation": attention}
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=may_run_code(folder))
        config.get_text_config().pad_token_id = None  # else a forward looks for padding in ids that have no values
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config, dtype=torch.bfloat16, trust_remote_code=may_run_code(folder), **options
            )
    except Exception as error:
        if attention is not None or isinstance(error, PrunegridError):
            raise
        raise PrunegridError(
            f"{folder}: transformers cannot build the model of its config.json "
            f"({type(error).__name__}: {first_line(error)}); {OTHER_MODEL}"
        ) from error
    return model.eval()


def packing_unsupported(folder: Path) -> str | None:
    """Why samples of this architecture cannot be packed, or None if they can.

    They can if every layer mixes tokens by transformers' attention interface alone, which receives the samples'
    borders. Classes' flags do not tell: Nemotron has the flag, but its layers drop the borders.
    """
    import torch
    from transformers import AttentionInterface

    calls: list[dict[str, Any]] = []

    def record(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **others: Any) -> tuple[Any, None]:
        calls.append({**others, "attention_mask": attention_mask})
        batch, heads, length = query.shape[:3]
        return query.new_empty(batch, length, heads, value.shape[-1]), None

    AttentionInterface.register(RECORDED, record)
    try:
        model = meta_model(folder, RECORDED)
    except PrunegridError:
        raise
    except (KeyError, ValueError):
        return "its layers do not use the attention interface of transformers"
    except Exception as error:  # code that a model brings along may raise anything
        return f"it cannot be built with another attention ({type(error).__name__}: {first_line(error)})"
    if getattr(model, "_is_stateful", False):
        return "its layers carry a state from token to token, over the borders of packed samples"
    ids_1T = torch.zeros((1, 6), dtype=torch.long, device="meta")
    try:
        with torch.no_grad():
            model.get_decoder()(input_ids=ids_1T, position_ids=ids_1T, segments=[3, 3], use_cache=False)
    except Exception as error:
        return f"a forward pass with packed samples failed ({type(error).__name__}: {first_line(error)})"
    return _border_lost(calls, model.config.get_text_config().num_hidden_layers)


def _border_lost(calls: list[dict[str, Any]], layers: int) -> str | None:
    """What of a recorded forward pass keeps packed samples from being told apart."""
    if not calls:
        return "its layers do not use the attention interface of transformers"
    if len(calls) < layers:
        return f"{layers - len(calls)} of its {layers} layers do not use the attention interface of transformers"
    if any(call.get("segments") != [3, 3] for call in calls):
        return "its layers do not pass the borders of packed samples on to the attention"
    foreign = sorted(
        {name for call in calls for name in (*UNSUPPORTED_ATTENTION, "attention_mask") if call.get(name) is not None}
    )
    return f"its attention needs {', '.join(foreign)}, which the packed attention does not compute" if foreign else None


def scoring_unsupported(model: Any) -> str | None:
    """Why the scoring pass would refuse this architecture, as far as its configuration tells."""
    kind, config = model.config.model_type, model.config.get_text_config()
    if headless_decoder(model) is None:
        return f"{kind}: get_decoder() is the model with its head; the scoring pass needs it without"
    for name in LOGIT_CHANGES:
        if (value := getattr(config, name, None)) not in (None, 1):
            return f"{kind}: it changes its logits after the head ({name} {value}), which the scoring pass does not"
    return None


def check_positions(model: Any) -> None:
    """Refuse an architecture that does not read position ids: pruned tokens could not leave a gap behind."""
    config, parameters = model.config.get_text_config(), inspect.signature(model.get_decoder().forward).parameters
    if "position_ids" not in parameters or getattr(config, "alibi", False):
        raise positions_ignored(model)


def positions_ignored(model: Any) -> PrunegridError:
    """The error of `removal: drop` with a model that does not read position ids."""
    return PrunegridError(
        f"{model.config.model_type}: it does not read position ids, so with removal: drop the tokens after a pruned "
        "one would move up; set removal: mask (training.removal, and in variants that have their own)"
    )


def headless_decoder(model: Any) -> Any | None:
    """The model without its head; None where `get_decoder()` gives it with its head (Llama 4's language model)."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    return None if any(module is head for module in decoder.modules()) else decoder


def accepts_tree_masks(model: Any, config: Any) -> bool:
    """Whether the model adds a mask of any form, and takes positions that the mask does not tell."""
    decoder = headless_decoder(model)
    told = decoder is not None and "position_ids" in inspect.signature(decoder.forward).parameters
    return told and config._attn_implementation in MASKED and not getattr(config, "alibi", False)
