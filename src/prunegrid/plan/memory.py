"""Estimated peak memory of one job of each rule, of the machine and of one GPU, in MiB.

`peak_mb("train", experiment)` is for the model that needs most, unless one is named, and for the variant whose training
does. A job needs its processes after their imports, plus one of:

- training: each rank's share (`training.memory_model` has the formulas)
- a pass without gradients over P parameters of w bytes each (bf16 2, else 4): the weights w P, one layer's activations
  w (4 hidden + 3 intermediate) + 8 hidden bytes a token, the head's logits by chunks, and, where answers are generated,
  the keys and values of all layers

The machine also holds each model once while it loads, and the file that it is loaded from. A process that reads the
data set or its scores needs 40 bytes a token of them; pruning, once they are there, 120 bytes a sample and a block of
tokens, unless it reads vectors.
"""

from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.training import Training
from prunegrid.models.size import DamagedModelError, Size, model_size, stated_size
from prunegrid.pruners import needs
from prunegrid.pruners.columns import VECTOR_EXTRAS
from prunegrid.training.memory_model import (
    CUDA_CONTEXT_MIB,
    DTYPE_BYTES,
    MIB,
    OPTIMIZER_BYTES,
    bytes_per_parameter,
    checkpointing_needed,
    logits_bytes,
    trained_parameters,
    training_bytes,
)

# MiB of a process after its imports, from the sandbox's benchmark files (docs/explanation/cost-model.md). CUDA's
# libraries come on top.
SMALL, DRAWING, TORCH, HARNESS, TRAINER = 250, 400, 500, 600, 700
CUDA_HOST = 2500
ASSUMED_GPU = 80e9  # bytes
TABLE_BYTES_PER_TOKEN = 40  # ids and scores
ASSUMED_TOKENS = 32_000_000
SANDBOX_TOKENS = {"short": 75_000, "long": 98_000}
CHOOSING_BYTES_PER_SAMPLE, BLOCK = 120, 150  # docs/explanation/scale.md has what was measured; MiB of a block of tokens
READING = ("dataset", "imported_column", "figures", "report", "audit")
CHOOSING = ("prune", "choose", "cut")
PASSES = ("score", "extra_score", "vector_score", "query_score", "evaluate")
TRAINING = ("train", "train_dynamic")


def peak_mb(rule: str, experiment: Experiment, model: str | None = None, root: Path | None = None) -> int:
    """Estimated peak of one job of `rule` in main memory, in MiB."""
    if rule == "model":
        return max(_model_host_mb(experiment, name, size) for name, size in sizes(experiment, model, root).items())
    if rule in TRAINING:
        models, trainings = sizes(experiment, model, root).values(), grid.trainings(experiment)
        host = max(_training_host_mb(experiment, size, training) for size in models for training in trainings)
        return host + ranks_per_node(experiment) * _table_mb(experiment, root)
    if rule in PASSES:
        host = max(_pass_host_mb(rule, experiment, size) for size in sizes(experiment, model, root).values())
        return host + (0 if rule == "evaluate" else _table_mb(experiment, root))
    if rule in CHOOSING:
        return SMALL + _choosing_mb(experiment, root)
    start = DRAWING if rule in ("figures", "report", "audit") else SMALL
    return start + (_table_mb(experiment, root) if rule in READING else 0)


def gpu_peak_mb(rule: str, experiment: Experiment, model: str | None = None, root: Path | None = None) -> int:
    """Estimated peak of one job of `rule` in one GPU's memory, in MiB; 0 if it uses no GPU."""
    if experiment.device != "cuda" or rule not in (*TRAINING, *PASSES):
        return 0
    models = sizes(experiment, model, root).values()
    if rule in TRAINING:
        parts = (rank_bytes(experiment, size, item) for size in models for item in grid.trainings(experiment))
        return CUDA_CONTEXT_MIB + max(sum(part.values()) for part in parts) // MIB
    return CUDA_CONTEXT_MIB + max(sum(_pass_bytes(rule, experiment, size)) for size in models) // MIB


def _table_mb(experiment: Experiment, root: Path | None) -> int:
    """MiB of the data set's tokens."""
    return TABLE_BYTES_PER_TOKEN * dataset_tokens(experiment, root) // MIB


def _choosing_mb(experiment: Experiment, root: Path | None) -> int:
    """MiB of what choosing and cutting hold: all samples and a block of tokens, where samples were counted."""
    columns = {name for variant in experiment.variants for name in needs(variant.method, variant.options).samples}
    folder = root or Path(experiment.results)
    counts = [_scored(folder / layout.scores_meta(name), "samples") for name in experiment.models]
    if columns & set(VECTOR_EXTRAS) or None in counts:
        return _table_mb(experiment, root)
    samples = BLOCK + CHOOSING_BYTES_PER_SAMPLE * max(count or 0 for count in counts) // MIB
    return min(samples, _table_mb(experiment, root))


def dataset_tokens(experiment: Experiment, root: Path | None = None) -> int:
    """The data set's tokens: as scored, else the sandbox's, else an upper bound of `max_samples` (or 32 million)."""
    folder = root or Path(experiment.results)
    limited = (experiment.dataset.max_samples or ASSUMED_TOKENS) * experiment.scoring.max_length
    sandbox = experiment.sandbox if experiment.dataset.hub else None
    bound = SANDBOX_TOKENS[sandbox.answers] if sandbox else min(limited, ASSUMED_TOKENS)
    counts = (_scored(folder / layout.scores_meta(name), "tokens") for name in experiment.models)
    return max((count or bound for count in counts), default=bound)


def _scored(meta: Path, unit: str) -> int | None:
    """How many samples or tokens were scored; None without scores, or if they are damaged: their reader says so."""
    try:
        return int(read_json(meta)[unit]) if meta.exists() else None
    except (PrunegridError, KeyError, TypeError):
        return None


def rank_bytes(experiment: Experiment, size: Size, training: Training | None = None) -> dict[str, int]:
    """Bytes of one rank of a training job by purpose, without the process itself; by default of the config's own."""
    training = resolve_checkpointing(experiment, size, training)
    return training_bytes(training, size, experiment.scoring.max_length, experiment.device)


def resolve_checkpointing(experiment: Experiment, size: Size, training: Training | None = None) -> Training:
    """The training settings, with `gradient_checkpointing: auto` resolved for the GPU that the plan assumes."""
    training = training or experiment.training
    if experiment.device == "cuda":
        gpu_share = gpu_bytes(experiment) / experiment.runtime.sharers(experiment.training.ranks)
        enabled = checkpointing_needed(training, size, experiment.scoring.max_length, gpu_share)
    else:
        enabled = training.gradient_checkpointing is True
    return training.model_copy(update={"gradient_checkpointing": enabled})


def gpu_bytes(experiment: Experiment) -> float:
    gigabytes = experiment.runtime.gpu_memory_gb
    return gigabytes * 1e9 if gigabytes else ASSUMED_GPU


def ranks_per_node(experiment: Experiment) -> int:
    return experiment.training.ranks // experiment.runtime.nodes


def _training_host_mb(experiment: Experiment, size: Size, training: Training) -> int:
    ranks = ranks_per_node(experiment)
    if experiment.device == "cpu":
        return ranks * (TRAINER + sum(rank_bytes(experiment, size, training).values()) // MIB)
    weights, offloaded = size.count * bytes_per_parameter(training), 0
    if training.offload_optimizer:  # with the float32 copy and the gradients
        offloaded = trained_parameters(training, size) * (OPTIMIZER_BYTES[training.optim] + 8)
    return ranks * (TRAINER + CUDA_HOST + weights // MIB) + (weights + offloaded // experiment.runtime.nodes) // MIB


def _pass_host_mb(rule: str, experiment: Experiment, size: Size) -> int:
    weights, activations = _pass_bytes(rule, experiment, size)
    start = HARNESS if rule == "evaluate" else TORCH
    if experiment.device == "cuda":
        return start + CUDA_HOST + 2 * weights // MIB
    return start + (2 * weights + activations) // MIB


def _pass_bytes(rule: str, experiment: Experiment, size: Size) -> tuple[int, int]:
    """Bytes of weights and of activations, in a job that runs a model without gradients."""
    section = experiment.evaluation if rule == "evaluate" else experiment.scoring
    width, shape = DTYPE_BYTES[section.dtype], size.shape
    token = width * (4 * shape.hidden + 3 * shape.intermediate) + 8 * shape.hidden
    if rule == "evaluate":
        token += 2 * width * shape.keys * shape.layers
    return width * size.count, token * section.batch_tokens + logits_bytes(shape, experiment.device)


def _model_host_mb(experiment: Experiment, name: str, size: Size) -> int:
    """A downloaded model is only linked; one from a wheel, or pre-trained here, is held in memory."""
    source = experiment.sources[name]
    if source.wheel:
        return TORCH + 3 * 4 * size.count // MIB
    return TORCH + 16 * size.count // MIB + 200 if source.pretrain else TORCH


def sizes(experiment: Experiment, model: str | None, root: Path | None) -> dict[str, Size]:
    """Sizes by name; the audit's replicas (`m@seed1`) are as large as their model."""
    names = [model.partition("@seed")[0]] if model else list(experiment.sources)
    return {name: _size(experiment, name, root) for name in names}


def _size(experiment: Experiment, name: str, root: Path | None) -> Size:
    """A damaged model counts as missing: the job that reads it reports the damage."""
    try:
        return model_size(experiment, name, root)
    except DamagedModelError:
        return stated_size(experiment, name)
