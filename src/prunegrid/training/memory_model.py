"""Estimated memory of one rank of a training job, in bytes: whether the job fits a GPU, before it starts.

For a model with P parameters of w bytes each (bf16 2, else 4), and one of N ranks:

- weights: w P; at ZeRO 3 w P / N and what DeepSpeed keeps gathered (at most 1e9 parameters)
- gradients of what is trained: 4 bytes a parameter (they are summed in float32); / N from ZeRO 2 on
- optimizer of what is trained: AdamW 8, adagrad and rmsprop 4, sgd 0 bytes a parameter, and 4 for a float32 copy
  (none at ZeRO 0 in float32); / N from ZeRO 1 on; in main memory if it is offloaded
- communication, with one rank too: 4 + w bytes of what is trained, of 5e8 parameters at most (DeepSpeed's buckets)
- activations of a pass of T tokens: T (layers + 1/2) (w (5 hidden + 2 keys + 4 intermediate) + 8 hidden), the norms in
  float32, and w 2 hidden more if all weights are trained; with gradient checkpointing T x layers x w hidden, and one
  and a half layers' activations. The half is what the backward pass works in.
- the head's logits, by chunks: three float32 tensors of a chunk of positions (`models.head_chunks`)

What is trained is all parameters, or LoRA's r x (in + out) of each adapted linear layer. Imports no torch: the plan
and the launcher use it.
"""

from prunegrid.experiment.training import Lora, Training
from prunegrid.models.architecture import Shape
from prunegrid.models.head_chunks import chunk_positions
from prunegrid.models.size import Size

MIB = 2**20
CUDA_CONTEXT_MIB = 1000
BUCKET_ELEMENTS = 500_000_000  # DeepSpeed's default size of a communication bucket
LIVE_PARAMETERS = 1_000_000_000  # DeepSpeed's default number of parameters that ZeRO 3 keeps gathered
BACKWARD_LAYERS = 0.5  # layers' activations that the backward pass needs beside those that are kept
USABLE_SHARE = 0.9  # of a GPU's memory: the rest is for fragments, NCCL, and what the estimate does not know
OPTIMIZER_BYTES = {"adamw_torch": 8, "adamw_torch_fused": 8, "sgd": 0, "adagrad": 4, "rmsprop": 4}
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}


def trained_parameters(training: Training, size: Size) -> int:
    """All of them, or LoRA's r x (in + out) of each adapted linear layer."""
    return size.count if training.method == "full" else lora_parameters(training.lora, size.shape)


def lora_parameters(lora: Lora, shape: Shape) -> int:
    """The parameters of LoRA's adapters. A pattern of `target_modules`, and names of other architectures, count as all
    linear layers."""
    d, f, k = shape.hidden, shape.intermediate, shape.keys
    widths = {"q_proj": d + d, "k_proj": d + k, "v_proj": d + k, "o_proj": d + d}
    widths |= {"gate_proj": d + f, "up_proj": d + f, "down_proj": f + d}
    names = lora.target_modules if isinstance(lora.target_modules, list) else []
    adapted = names if names and set(names) <= set(widths) else list(widths)
    return shape.layers * lora.r * sum(widths[name] for name in adapted)


def training_bytes(training: Training, size: Size, longest: int, device: str) -> dict[str, int]:
    """Bytes of one rank, by what they hold, without the process itself. Gradient checkpointing must be on or off.

    `longest` is the tokens of the longest sample.
    """
    ranks, stage, width = training.ranks, training.zero_stage, bytes_per_parameter(training)
    trained = trained_parameters(training, size)
    whole = size.count + (trained if training.method == "lora" else 0)
    live = min(whole, LIVE_PARAMETERS) if ranks > 1 else 0
    copy = 4 if training.bf16 or stage else 0
    optimizer = trained * (OPTIMIZER_BYTES[training.optim] + copy) // (ranks if stage >= 1 else 1)
    return {
        "weights": width * (whole // ranks + live if stage == 3 else whole),
        "gradients": 4 * trained // (ranks if stage >= 2 else 1),
        "optimizer": 0 if training.offload_optimizer else optimizer,
        "communication": (4 + width) * min(trained, BUCKET_ELEMENTS),
        "activations": training_activations(training, size.shape, longest, device),
    }


def checkpointing_needed(training: Training, size: Size, longest: int, card_bytes: float) -> bool:
    """Whether a rank checkpoints activations on a GPU of so many bytes. `auto` means only if it would not fit without.

    `longest` is the tokens of the longest sample.
    """
    setting = training.gradient_checkpointing
    if setting != "auto":
        return setting
    plain = training.model_copy(update={"gradient_checkpointing": False})
    total = CUDA_CONTEXT_MIB * MIB + sum(training_bytes(plain, size, longest, "cuda").values())
    return total > USABLE_SHARE * card_bytes


def training_activations(training: Training, shape: Shape, longest: int, device: str) -> int:
    """Bytes that the largest forward pass keeps for its backward, its head's chunk of logits included."""
    width, samples = bytes_per_parameter(training), training.per_device_train_batch_size
    step = samples * training.gradient_accumulation_steps * longest
    tokens = max(longest, min(training.batch_tokens, step)) if training.packing else samples * longest
    layer = width * (5 * shape.hidden + 2 * shape.keys + 4 * shape.intermediate) + 8 * shape.hidden
    layer += 2 * width * shape.hidden if training.method == "full" else 0
    if training.gradient_checkpointing is True:
        stored = width * shape.hidden * shape.layers + (1 + BACKWARD_LAYERS) * layer
    else:
        stored = (shape.layers + BACKWARD_LAYERS) * layer
    return round(tokens * stored) + logits_bytes(shape, device)


def bytes_per_parameter(training: Training) -> int:
    return 2 if training.bf16 else 4


def logits_bytes(shape: Shape, device: str) -> int:
    return 3 * 4 * shape.vocabulary * chunk_positions(device, shape.vocabulary)
