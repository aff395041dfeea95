"""How an architecture can be trained, from its configuration and classes alone: no weights are read.

Its modules are built on torch's meta device at full size, which takes no memory, and a forward pass there shows what
reaches each attention layer. `probes` checks on a loaded model what this cannot show. torch and transformers are
imported where they are used, because `doctor` starts without them.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.experiment.training import Training
from prunegrid.models.adapters import add_adapter
from prunegrid.models.architecture import (
    OTHER_MODEL,
    PACKED,
    UNSUPPORTED_ATTENTION,
    TrainingAttention,
    check_positions,
    scoring_error,
)
from prunegrid.models.folder import check_complete
from prunegrid.models.remote_code import may_run_code

RECORDED = "prunegrid_recorded"


def training_attention(folder: Path, packing: bool) -> TrainingAttention:
    """Packed if `packing` is set and the architecture supports it, else padded with SDPA or, without SDPA, eager."""
    reason = packing_unsupported(folder) if packing else "training.packing is false"
    if reason is None:
        return TrainingAttention(PACKED)
    return TrainingAttention("sdpa" if meta_model(folder)._supports_sdpa else "eager", reason)


def check_trainable(folder: Path, training: Training, removals: Collection[str]) -> str:
    """How the model will be trained, in words; refused if it cannot be scored, or trained under all `removals`."""
    model = meta_model(folder)
    if error := scoring_error(model):
        raise error
    if "drop" in removals:
        check_positions(model)
    attention = training_attention(folder, training.packing)
    if training.method == "lora":
        add_adapter(model, training.lora)
    if attention.packed:
        return "trained packed"
    return f"trained padded with {attention.implementation} attention: {attention.padded_because}"


def meta_model(folder: Path, attention: str | None = None) -> Any:
    """The model of the folder's config.json on the meta device; by default transformers chooses the `attention`."""
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
        reason = f"{type(error).__name__}: {first_line(error)}"
        problem = f"transformers cannot build the model of its config.json ({reason})"
        raise PrunegridError(folder, problem, OTHER_MODEL) from error
    return model.eval()


def packing_unsupported(folder: Path) -> str | None:
    """Why samples of this architecture cannot be packed, or None if they can.

    They can if every layer mixes tokens only through transformers' attention interface, which receives the samples'
    borders. Flags of the classes are not reliable: Nemotron has the flag, but its layers drop the borders.
    """
    import torch
    from transformers import AttentionInterface

    calls: list[dict[str, Any]] = []

    def record(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **keywords: Any) -> tuple[Any, None]:
        calls.append({**keywords, "attention_mask": attention_mask})
        batch, heads, length = query.shape[:3]
        return query.new_empty(batch, length, heads, value.shape[-1]), None

    AttentionInterface.register(RECORDED, record)
    try:
        model = meta_model(folder, RECORDED)
    except PrunegridError:
        raise
    except (KeyError, ValueError):
        return "its layers do not use the attention interface of transformers"
    except Exception as error:  # a model's own code may raise anything
        return f"it cannot be built with another attention ({type(error).__name__}: {first_line(error)})"
    if getattr(model, "_is_stateful", False):
        return "its layers carry a state from token to token, over the borders of packed samples"
    ids_1T = torch.zeros((1, 6), dtype=torch.long, device="meta")
    try:
        with torch.no_grad():
            model.get_decoder()(input_ids=ids_1T, position_ids=ids_1T, segments=[3, 3], use_cache=False)
    except Exception as error:
        return f"a forward pass with packed samples failed ({type(error).__name__}: {first_line(error)})"
    return _borders_lost(calls, model.config.get_text_config().num_hidden_layers)


def _borders_lost(calls: list[dict[str, Any]], layers: int) -> str | None:
    """Why packed samples cannot be kept apart in a recorded forward pass, or None if they can."""
    if not calls:
        return "its layers do not use the attention interface of transformers"
    if len(calls) < layers:
        return f"{layers - len(calls)} of its {layers} layers do not use the attention interface of transformers"
    if any(call.get("segments") != [3, 3] for call in calls):
        return "its layers do not pass the borders of packed samples on to the attention"
    arguments = (*UNSUPPORTED_ATTENTION, "attention_mask")
    unsupported = sorted({name for call in calls for name in arguments if call.get(name) is not None})
    if unsupported:
        return f"its attention needs {', '.join(unsupported)}, which the packed attention does not compute"
    return None
