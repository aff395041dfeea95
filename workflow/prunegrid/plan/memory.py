"""Estimated peak memory of one job of each rule, of the machine and of one GPU, in MiB.

`peak_mb("train", experiment)`; the default of a model is the one that needs most. A job's memory is that of its
processes after their imports, plus, of a model with P parameters of w bytes each (bf16 2, else 4), for a rank of N:

- weights: w P; at ZeRO 3 w P / N and what DeepSpeed keeps gathered (at most 1e9 parameters)
- gradients of what is trained: 4 bytes a parameter (they are summed in float32); / N from ZeRO 2 on
- optimizer of what is trained: AdamW 8, adagrad and rmsprop 4, sgd 0 bytes a parameter, and 4 for a float32 copy
  (none at ZeRO 0 in float32); / N from ZeRO 1 on; in main memory where it is offloaded
- communication, at one rank too: 4 + w bytes of what is trained, of 5e8 parameters at most (DeepSpeed's buckets)
- activations of a pass of T tokens: T (layers + 1/2) (w (5 hidden + 2 keys + 4 intermediate) + 8 hidden), the norms in
  float32, and w 2 hidden more where all weights are trained; with gradient checkpointing T x layers x w hidden, and one
  and a half layers'. The half is what the backward pass works in.
- the head's logits, by chunks: three float32 tensors of a chunk of positions (`chunks`)

What is trained is all parameters, or LoRA's r x (in + out) of each linear layer. A pass without gradients has one
layer's activations, w (4 hidden + 3 intermediate) + 8 hidden bytes a token, and, where answers are generated, keys and
values of all layers. The machine also holds each model once while it is loaded, and the file that it is loaded from;
a process that reads the data set or its scores has 40 bytes a token of them.
"""

from pathlib import Path

from prunegrid.chunks import positions
from prunegrid.config import Experiment
from prunegrid.errors import PrunegridError
from prunegrid.io import read_json
from prunegrid.plan.size import DamagedError, Shape, Size, parameters, unseen
from prunegrid.sections import Lora, Training

MIB = 2**20
# MiB of a process after its imports, as the sandbox's benchmark files say (docs/plan.md); on a GPU node CUDA's
# libraries come on top.
SMALL, DRAWING, TORCH, HARNESS, TRAINER = 250, 400, 500, 600, 700
CUDA_HOST, CUDA_CONTEXT = 2500, 1000
BUCKET, LIVE = 500_000_000, 1_000_000_000  # DeepSpeed's reduce bucket and live parameters of ZeRO 3, in elements
WORKING = 0.5  # layers' activations that the backward pass needs beside those that are kept
ASSUMED_GPU = 80e9  # bytes
USABLE = 0.9  # of a GPU's memory: the rest is for fragments, NCCL, and what the estimate does not know
ADAM = {"adamw_torch": 8, "adamw_torch_fused": 8, "sgd": 0, "adagrad": 4, "rmsprop": 4}
TABLE = 40  # bytes a token of the data set, of its ids and scores
ASSUMED_TOKENS, SANDBOX_TOKENS = 32_000_000, 75_000
READING = ("dataset", "prune", "figures", "audit")
WIDTH = {"float32": 4, "bfloat16": 2}
PASSES = ("score", "extra_score", "evaluate")
TRAINING = ("train", "train_dynamic")


def peak_mb(rule: str, experiment: Experiment, model: str | None = None, root: Path | None = None) -> int:
    """MiB of main memory that one job of `rule` is estimated to need at its peak."""
    if rule == "model":
        return max(_made(experiment, name, size) for name, size in sizes(experiment, model, root).items())
    if rule in TRAINING:
        hosts = max(_training_host(experiment, size) for size in sizes(experiment, model, root).values())
        return hosts + ranks_of_a_node(experiment) * _table(experiment, root)
    if rule in PASSES:
        needed = max(_pass_host(rule, experiment, size) for size in sizes(experiment, model, root).values())
        return needed + (0 if rule == "evaluate" else _table(experiment, root))
    start = DRAWING if rule in ("figures", "audit") else SMALL
    return start + (_table(experiment, root) if rule in READING else 0)


def gpu_peak_mb(rule: str, experiment: Experiment, model: str | None = None, root: Path | None = None) -> int:
    """MiB of one GPU's memory for one job of `rule`; 0 where it uses none."""
    if experiment.device != "cuda" or rule not in (*TRAINING, *PASSES):
        return 0
    used = sizes(experiment, model, root).values()
    if rule in TRAINING:
        return CUDA_CONTEXT + max(sum(rank_bytes(experiment, size).values()) for size in used) // MIB
    return CUDA_CONTEXT + max(sum(_pass_bytes(rule, experiment, size)) for size in used) // MIB


def _table(experiment: Experiment, root: Path | None) -> int:
    """MiB of the data set's tokens."""
    return TABLE * tokens(experiment, root) // MIB


def tokens(experiment: Experiment, root: Path | None = None) -> int:
    """The data set's tokens: as scored, of the sandbox, of `max_samples` whole samples; else 32 million."""
    scored = (root or Path(experiment.results)) / "scores"
    limited = (experiment.dataset.max_samples or ASSUMED_TOKENS) * experiment.scoring.max_length
    unknown = SANDBOX_TOKENS if experiment.sandbox and experiment.dataset.hub else min(limited, ASSUMED_TOKENS)
    found = (_scored_tokens(scored / name / "meta.json") for name in experiment.models)
    return max((count or unknown for count in found), default=unknown)


def _scored_tokens(meta: Path) -> int | None:
    """None where the scores are not there, or damaged (as `_size`)."""
    try:
        return int(read_json(meta)["tokens"]) if meta.exists() else None
    except (PrunegridError, KeyError, TypeError):
        return None


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


def rank_bytes(experiment: Experiment, size: Size) -> dict[str, int]:
    """Bytes of one rank of a training job, by what they hold, without the process itself."""
    training = decided(experiment, size)
    return training_bytes(training, size, experiment.scoring.max_length, experiment.device)


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


def decided(experiment: Experiment, size: Size, training: Training | None = None) -> Training:
    """The training settings with `gradient_checkpointing: auto` decided for the GPU that the plan assumes."""
    training = training or experiment.training
    if experiment.device == "cuda":
        needed = checkpointing_needed(training, size, experiment.scoring.max_length, gpu_share(experiment))
    else:
        needed = training.gradient_checkpointing is True
    return training.model_copy(update={"gradient_checkpointing": needed})


def gpu_share(experiment: Experiment) -> float:
    """Bytes of a GPU that a training job's rank may use: of a GPU that jobs share, its part."""
    return gpu_bytes(experiment) / experiment.runtime.sharers(experiment.training.ranks)


def gpu_bytes(experiment: Experiment) -> float:
    stated = experiment.runtime.gpu_memory_gb
    return stated * 1e9 if stated else ASSUMED_GPU


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


def ranks_of_a_node(experiment: Experiment) -> int:
    return experiment.training.ranks // experiment.runtime.nodes


def _training_host(experiment: Experiment, size: Size) -> int:
    training, here = experiment.training, ranks_of_a_node(experiment)
    if experiment.device == "cpu":
        own = sum(rank_bytes(experiment, size).values())
        return here * (TRAINER + own // MIB)
    weights, offloaded = size.count * _width(training), 0
    if training.offload_optimizer:  # the copy and the gradients go along
        offloaded = trained_parameters(training, size) * (ADAM[training.optim] + 8)
    return here * (TRAINER + CUDA_HOST + weights // MIB) + (weights + offloaded // experiment.runtime.nodes) // MIB


def _pass_host(rule: str, experiment: Experiment, size: Size) -> int:
    weights, activations = _pass_bytes(rule, experiment, size)
    start = HARNESS if rule == "evaluate" else TORCH
    if experiment.device == "cuda":
        return start + CUDA_HOST + 2 * weights // MIB
    return start + (2 * weights + activations) // MIB


def _pass_bytes(rule: str, experiment: Experiment, size: Size) -> tuple[int, int]:
    """Bytes of weights, and of activations, of a job that runs a model forward only."""
    section = experiment.evaluation if rule == "evaluate" else experiment.scoring
    width, shape = WIDTH[section.dtype], size.shape
    token = width * (4 * shape.hidden + 3 * shape.intermediate) + 8 * shape.hidden
    if rule == "evaluate":
        token += 2 * width * shape.keys * shape.layers
    return width * size.count, token * section.batch_tokens + _logits(shape, experiment.device)


def _logits(shape: Shape, device: str) -> int:
    return 3 * 4 * shape.vocabulary * positions(device, shape.vocabulary)


def _made(experiment: Experiment, name: str, size: Size) -> int:
    """A model is downloaded and linked; converted from a wheel, or trained, where it is held whole."""
    source = experiment.sources[name]
    if source.wheel:
        return TORCH + 3 * 4 * size.count // MIB
    return TORCH + 16 * size.count // MIB + 200 if source.pretrain else TORCH


def sizes(experiment: Experiment, model: str | None, root: Path | None) -> dict[str, Size]:
    """By name; the audit's replicas (`m@seed1`) are as large as their model."""
    names = [model.partition("@seed")[0]] if model else list(experiment.sources)
    return {name: _size(experiment, name, root) for name in names}


def _size(experiment: Experiment, name: str, root: Path | None) -> Size:
    """Of a damaged model as if it were not there yet: the job that reads it says what is wrong with it."""
    try:
        return parameters(experiment, name, root)
    except DamagedError:
        return unseen(experiment, name)
