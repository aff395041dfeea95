"""Estimated memory of one rank of a training job (the formulas stand in `prunegrid.plan.memory`)."""

from prunegrid.experiment.sections import Lora, Training
from prunegrid.models.head_chunks import chunk_positions
from prunegrid.models.size import Shape, Size

MIB = 2**20
CUDA_CONTEXT = 1000
BUCKET, LIVE = 500_000_000, 1_000_000_000  # DeepSpeed's reduce bucket and live parameters of ZeRO 3, in elements
WORKING = 0.5  # layers' activations that the backward pass needs beside those that are kept
USABLE = 0.9  # of a GPU's memory: the rest is for fragments, NCCL, and what the estimate does not know
ADAM = {"adamw_torch": 8, "adamw_torch_fused": 8, "sgd": 0, "adagrad": 4, "rmsprop": 4}
WIDTH = {"float32": 4, "bfloat16": 2}


def trained_parameters(training: Training, size: Size) -> int:
    """All of them, or LoRA's r x (in + out) of each adapted linear layer."""
    return size.count if training.method == "full" else lora_parameters(training.lora, size.shape)


def lora_parameters(lora: Lora, shape: Shape) -> int:
    """A pattern of `target_modules`, and names of other architectures', are taken for all linear layers."""
    d, f, k = shape.hidden, shape.intermediate, shape.keys
    widths = {"q_proj": d + d, "k_proj": d + k, "v_proj": d + k, "o_proj": d + d}
    widths |= {"gate_proj": d + f, "up_proj": d + f, "down_proj": f + d}
    named = lora.target_modules if isinstance(lora.target_modules, list) else []
    adapted = [name for name in named if name in widths] if named and set(named) <= set(widths) else list(widths)
    return shape.layers * lora.r * sum(widths[name] for name in adapted)


def training_bytes(training: Training, size: Size, longest: int, device: str) -> dict[str, int]:
    """As `rank_bytes`, of samples of at most `longest` tokens; gradient checkpointing is on or off."""
    ranks, stage, width = training.ranks, training.zero_stage, _width(training)
    trained = trained_parameters(training, size)
    whole = size.count + (trained if training.method == "lora" else 0)
    gathered = min(whole, LIVE) if ranks > 1 else 0
    copy = 4 if training.bf16 or stage else 0
    optimizer = trained * (ADAM[training.optim] + copy) // (ranks if stage >= 1 else 1)
    return {
        "weights": width * (whole // ranks + gathered if stage == 3 else whole),
        "gradients": 4 * trained // (ranks if stage >= 2 else 1),
        "optimizer": 0 if training.offload_optimizer else optimizer,
        "communication": (4 + width) * min(trained, BUCKET),
        "activations": training_activations(training, size.shape, longest, device),
    }


def checkpointing_needed(training: Training, size: Size, longest: int, card_bytes: float) -> bool:
    """Whether a rank checkpoints activations on a GPU of so many bytes; `auto` means: only if it would not fit without.

    `longest` is the tokens of the longest sample.
    """
    setting = training.gradient_checkpointing
    if setting != "auto":
        return setting
    without = training.model_copy(update={"gradient_checkpointing": False})
    needed = CUDA_CONTEXT * MIB + sum(training_bytes(without, size, longest, "cuda").values())
    return needed > USABLE * card_bytes


def training_activations(training: Training, shape: Shape, longest: int, device: str) -> int:
    """Bytes that the largest forward pass keeps for its backward, its head's chunk of logits included."""
    width, samples = _width(training), training.per_device_train_batch_size
    step = samples * training.gradient_accumulation_steps * longest
    tokens = max(longest, min(training.batch_tokens, step)) if training.packing else samples * longest
    layer = width * (5 * shape.hidden + 2 * shape.keys + 4 * shape.intermediate) + 8 * shape.hidden
    layer += 2 * width * shape.hidden if training.method == "full" else 0
    if training.gradient_checkpointing is True:
        kept = width * shape.hidden * shape.layers + (1 + WORKING) * layer
    else:
        kept = (shape.layers + WORKING) * layer
    return round(tokens * kept) + _logits(shape, device)


def _width(training: Training) -> int:
    return 2 if training.bf16 else 4


def _logits(shape: Shape, device: str) -> int:
    return 3 * 4 * shape.vocabulary * chunk_positions(device, shape.vocabulary)
