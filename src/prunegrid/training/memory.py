"""How a training job fits its memory: what `gradient_checkpointing: auto` means, and what follows when it runs out."""

import sys
from pathlib import Path
from typing import Any

from prunegrid.core import gpus
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, repair, write_json
from prunegrid.experiment import layout
from prunegrid.models.architecture import training_attention
from prunegrid.models.size import stored_size
from prunegrid.training.job import Job, Order
from prunegrid.training.memory_model import checkpointing_needed

FILE = "memory.json"
MOST_HALVINGS = 6


def needs_checkpointing(job: Job, ids: list[str]) -> bool:
    """Whether the job's ranks checkpoint activations. The GPUs are `ids`; with none given, all that are visible.

    A CPU has no limit that is known. The launcher itself never starts CUDA.
    """
    training = job.training
    if training.gradient_checkpointing != "auto" or job.device == "cpu":
        return training.gradient_checkpointing is True
    card, size = _card_bytes(job, ids), stored_size(job.model)
    attention = training_attention(job.model, training.packing)
    in_passes = training.model_copy(update={"packing": attention.packed})
    # Eager attention keeps its weights, T x T a head and layer, which the estimate does not count.
    eager = attention.implementation == "eager"
    needed = eager or checkpointing_needed(in_passes, size, _longest(job.scores), card / job.sharers)
    print(
        f"gradient_checkpointing: auto is {'on' if needed else 'off'} for {size.count:,} parameters on a GPU of "
        f"{card / 1e9:.1f} GB{f' that {job.sharers} jobs share' if job.sharers > 1 else ''}"
        f"{' (eager attention)' if eager else ''}",
        file=sys.stderr,
        flush=True,
    )
    return needed


def _longest(scores: Path) -> int:
    """Tokens of the longest sample that there may be: the scores' cut-off."""
    path = scores / layout.META
    longest = read_json(path).get("max_length")
    if longest is None:
        raise PrunegridError(
            f"{path}: has no max_length, which gradient_checkpointing: auto needs; set training.gradient_checkpointing "
            f"to true or false, or {repair(path)}"
        )
    return int(longest)


def _card_bytes(job: Job, ids: list[str]) -> float:
    if job.runtime.gpu_memory_gb:
        return job.runtime.gpu_memory_gb * 1e9
    memory = gpus.memory_bytes(ids or gpus.visible_ids())
    if memory is None:
        raise PrunegridError(
            "training.gradient_checkpointing is auto, but neither nvidia-smi nor torch tells the GPU's memory: "
            "give runtime.gpu_memory_gb, or true or false"
        )
    return memory


def after_failures(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """What an order is given after earlier attempts of this very job ran out of memory."""
    path = folder / FILE
    stored = read_json(path) if path.exists() else {}
    if stored.get("identity") != identity:
        return {}
    return {"halvings": stored["halvings"], "checkpointing": stored.get("checkpointing", False)}


def with_less(order: Order) -> str:
    """Have the next attempt take less memory, and say how: gradient checkpointing where it may, else halved passes."""
    stored = {"halvings": order.halvings, "checkpointing": order.checkpointing, "identity": order.identity}
    if order.job.training.gradient_checkpointing == "auto" and not order.checkpointing:
        write_json(order.checkpoints / FILE, stored | {"checkpointing": True})
        return "the next attempt turns gradient checkpointing on"
    if order.halvings == MOST_HALVINGS:
        more = "a smaller batch_tokens" if order.checkpoints_layers else "gradient_checkpointing"
        return f"its passes have been halved {MOST_HALVINGS} times: take {more}"
    write_json(order.checkpoints / FILE, stored | {"halvings": order.halvings + 1})
    return "the next attempt halves its forward passes (same global batch)"
