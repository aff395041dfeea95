"""What `training.gradient_checkpointing: auto` means: on only if the job would not fit its GPU otherwise."""

import sys
from pathlib import Path

from prunegrid.core import gpus
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, repair
from prunegrid.experiment import layout
from prunegrid.models.meta_model import training_attention
from prunegrid.models.size import stored_size
from prunegrid.training.job import Job
from prunegrid.training.memory_model import checkpointing_needed


def is_needed(job: Job, gpu_ids: list[str]) -> bool:
    """Whether the job's ranks checkpoint activations on these GPUs; without ids, on all that are visible.

    A CPU's limit is not known. The launcher itself never starts CUDA.
    """
    training = job.training
    if training.gradient_checkpointing != "auto" or job.device == "cpu":
        return training.gradient_checkpointing is True
    card_bytes, size = _card_bytes(job, gpu_ids), stored_size(job.model)
    attention = training_attention(job.model, training.packing)
    settings = training.model_copy(update={"packing": attention.packed})
    # Eager attention keeps its weights, T x T a head and layer, which the estimate does not count.
    eager = attention.implementation == "eager"
    decision = eager or checkpointing_needed(settings, size, _max_length(job.scores), card_bytes / job.sharers)
    print(
        f"gradient_checkpointing: auto is {'on' if decision else 'off'} for {size.count:,} parameters on a GPU of "
        f"{card_bytes / 1e9:.1f} GB{f' that {job.sharers} jobs share' if job.sharers > 1 else ''}"
        f"{' (eager attention)' if eager else ''}",
        file=sys.stderr,
        flush=True,
    )
    return decision


def _max_length(scores: Path) -> int:
    """The scores' cut-off, in tokens: no sample is longer."""
    path = scores / layout.META
    length = read_json(path).get("max_length")
    if length is None:
        problem = "has no max_length, which training.gradient_checkpointing: auto needs"
        raise PrunegridError(path, problem, f"set training.gradient_checkpointing to true or false, or {repair(path)}")
    return int(length)


def _card_bytes(job: Job, gpu_ids: list[str]) -> float:
    if job.runtime.gpu_memory_gb:
        return job.runtime.gpu_memory_gb * 1e9
    memory = gpus.memory_bytes(gpu_ids or gpus.visible_ids())
    if memory is None:
        problem = "is auto, but neither nvidia-smi nor torch reports the GPU's memory"
        fix = "set runtime.gpu_memory_gb, or training.gradient_checkpointing to true or false"
        raise PrunegridError("training.gradient_checkpointing", problem, fix)
    return memory
