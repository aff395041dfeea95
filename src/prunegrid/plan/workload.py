"""The cost model: what a job computes, and the seconds that it takes at default rates.

docs/explanation/cost-model.md has the formulas.

A workload is operations (tokens x parameters), forward passes x layers (each has a least time, however small it is),
optimizer steps, tokens of tables, and bytes that are loaded. The start-up comes on top.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil

from prunegrid.experiment.config import Experiment
from prunegrid.experiment.training import Scoring, Training
from prunegrid.models.size import Size
from prunegrid.plan.counts import BenchmarkSize, TokenCounts
from prunegrid.plan.epochs import epoch_load
from prunegrid.plan.gpu_rates import PassKind, gpu_rates
from prunegrid.pruners import PruningSpec
from prunegrid.pruners.columns import ALONE_EXTRAS as ALONE
from prunegrid.pruners.columns import DERIVED_EXTRAS, MEAN_EXTRAS, REFERENCE_EXTRAS, TEXT_EXTRAS

START = {
    "world": 0.5, "world_option": 0.5, "dataset": 0.6, "benchmark_items": 0.4, "contamination": 0.6, "model": 5.0,
    "score": 4.5, "gather_scores": 0.4,
    "extra_score": 4.5, "vector_score": 4.5, "query_score": 4.5,
    "prune": 0.7, "train": 6.0, "train_dynamic": 6.0, "evaluate": 5.0,
    "record": 0.3, "import_scores": 0.7, "imported_column": 0.6, "choose": 0.7, "cut": 0.7, "gather_selection": 0.5,
    "collect": 1.7, "table": 2.2, "figures": 5.0, "report": 5.0,
}  # fmt: skip
ON_GPU = {"score", "extra_score", "vector_score", "query_score", "train", "train_dynamic", "evaluate"}
THREADS = {
    "model": 2,
    "score": 2,
    "extra_score": 2,
    "vector_score": 2,
    "query_score": 2,
}  # others: one, or one per rank
TABLE_S = 3e-7  # per token that is read from, or written to, a table
LOAD_RATE = 1e9  # bytes a second
CPU_RATE = 5e10  # operations a second and thread
CPU_LAYER_S = 6e-4  # the least time of a layer's forward pass
CPU_STEP_S = 0.02  # an optimizer step without its passes
CPU_MEMORY_RATE = 1e10  # bytes a second at which a generated token reads the weights
CPU_DESCRIPTION = "cpu: 5e10 operations a second and thread"
RANK_OPERATIONS = 30  # per element of a matrix of attention and position, to find its rank
WHOLE_LAYER = ("fastv_rank", "sparsevlm_kept")  # of attention that prompts pay, too
MINI_BATCH_S = 0.015  # to prune one mini-batch of a dynamic cell


@dataclass(frozen=True)
class Workload:
    """What one job does on each of its ranks; `kind` and `parameters` decide how fast a GPU does it.

    `scored` are the operations that a dynamic training spends on scoring its candidates, beyond its `operations`.
    """

    operations: float = 0.0
    scored: float = 0.0
    layers: float = 0.0
    steps: float = 0.0
    table_tokens: float = 0.0
    mini_batches: float = 0.0
    read: float = 0.0
    loaded: float = 0.0
    bf16: bool = False
    kind: PassKind = "forward"
    parameters: int = 0


def seconds(rule: str, work: Workload, device: str) -> float:
    """How long a job of `rule` takes at the default rates, start-up included."""
    tables = work.mini_batches * MINI_BATCH_S + work.table_tokens * TABLE_S + work.loaded / LOAD_RATE
    passes = _on_gpu(work) if device == "cuda" and rule in ON_GPU else _on_cpu(work, THREADS.get(rule, 1))
    return START[rule] + passes + tables


def _on_cpu(work: Workload, threads: int) -> float:
    minimum = max(work.layers * CPU_LAYER_S, work.read / CPU_MEMORY_RATE)
    return compute_seconds(work, "cpu") / threads + minimum + work.steps * CPU_STEP_S


def _on_gpu(work: Workload) -> float:
    rates = gpu_rates()
    minimum = max(work.layers * rates.layer_s, work.read / rates.decode_bytes_s)
    return rates.start_s + compute_seconds(work, "cuda") + minimum + work.steps * rates.step_s


def compute_seconds(work: Workload, device: str) -> float:
    """Seconds of the operations alone, at the default rates; on a CPU with one thread."""
    if device == "cpu":
        return (work.operations + work.scored) / CPU_RATE
    rates, size, bf16 = gpu_rates(), work.parameters, work.bf16
    scored = work.scored / rates.operations("forward", size, bf16)
    return scored + work.operations / rates.operations(work.kind, size, bf16)


def forward_operations(size: Size, tokens: float, context: float, heads: float) -> float:
    """Operations of a forward pass over `tokens`, in samples of `context` tokens; `heads` of them go through the head.

    Two per parameter of the layers, and two for attention's scores and values, over half the context on average.
    """
    shape = size.shape
    body = size.count - shape.head * (1 if shape.tied else 2)
    return tokens * (2 * body + 2 * shape.layers * shape.hidden * context) + heads * 2 * shape.head


def pretraining_workload(size: Size, steps: int, block_length: int) -> Workload:
    """The sandbox's pre-training, 2,048 tokens a step."""
    tokens = steps * 2048
    return Workload(3 * forward_operations(size, tokens, block_length, tokens), layers=3 * steps * size.shape.layers)


def scoring_workload(settings: Scoring, size: Size, tokens: TokenCounts, reference: Size | None = None) -> Workload:
    """Scoring one shard. The last layer's attention of the response's queries is computed a second time.

    The optional scores that the pass computes, too, add what they need beside its forward, under the model or, if they
    are of a reference, under that.
    """
    share, mean = 1 / settings.shards, tokens.total / tokens.samples
    attention = 4 * tokens.response * mean * size.shape.hidden
    operations = forward_operations(size, tokens.total, mean, tokens.response) + attention
    bf16 = settings.dtype == "bfloat16"
    layers = float(_passes(tokens.total, settings.batch_tokens) * size.shape.layers)
    alone = settings.model_copy(update={"shards": 1, "extra": []})
    for name in {ALONE[0] if name in ALONE else name for name in settings.extra}:  # one pass serves all of `ALONE`
        size_of_model = reference or size if name in REFERENCE_EXTRAS else size
        whole = scoring_workload(alone, size_of_model, tokens)
        extra = extra_score_workload(name, alone, size_of_model, tokens)
        second = name in ALONE or name in REFERENCE_EXTRAS
        operations += extra.operations if second else max(0.0, extra.operations - whole.operations)
        layers += extra.layers if second else 0
    return Workload(
        share * operations,
        layers=share * layers,
        table_tokens=share * tokens.total,
        loaded=size.count * (2 if bf16 else 4),
        bf16=bf16,
        parameters=size.count,
    )


def extra_score_workload(name: str, settings: Scoring, size: Size, tokens: TokenCounts) -> Workload:
    """`fastv_layer2` runs two layers, `ALONE` responses alone, `reference_nll` everything under the reference; texts
    are only counted, tables only read, and scores of the whole sequence compute for prompts what the pass does for
    responses.
    """
    if name in TEXT_EXTRAS or name in DERIVED_EXTRAS or name in MEAN_EXTRAS:
        return Workload(table_tokens=tokens.total)
    whole = scoring_workload(settings.model_copy(update={"shards": 1, "extra": []}), size, tokens)
    mean, heads = tokens.total / tokens.samples, tokens.prompt if name == "sequence_entropy" else 0
    attention = 4 * tokens.prompt * mean * size.shape.hidden if name in WHOLE_LAYER else 0.0
    responses = dict.fromkeys(ALONE, tokens.response / tokens.total)
    share = {"fastv_layer2": 2 / size.shape.layers, **responses}.get(name, 1.0)
    operations = share * whole.operations + attention + forward_operations(size, 0, mean, heads)
    if name == "sparsevlm_kept":
        operations += RANK_OPERATIONS * tokens.total * mean**2
    return replace(whole, operations=operations, layers=share * whole.layers)


def training_workload(
    training: Training,
    size: Size,
    tokens: TokenCounts,
    epoch_tokens: tuple[float, float],
    token_ratio: float,
    pruning: PruningSpec | None = None,
) -> Workload:
    """The work of one rank; `epoch_tokens` are the prompt and response tokens of the samples that an epoch keeps.

    Operations per parameter and token: 6 where all weights are trained, 4 under LoRA, 2 more with gradient
    checkpointing (on or off here: `memory.resolve_checkpointing`). `drop` removes pruned tokens from the input. A
    dynamic cell also scores all of its candidates. `pruning` decides how long epochs are that are as long as what is
    kept, and how much a second cut leaves.
    """
    load = epoch_load(training, tokens, epoch_tokens, pruning)
    steps, (prompt, response) = load.steps, load.trained
    learned = response * token_ratio
    inputs = prompt + (learned if training.removal == "drop" else response)
    mean = tokens.total / tokens.samples
    times = (3 if training.method == "full" else 2) + (1 if training.gradient_checkpointing is True else 0)
    operations = times * forward_operations(size, inputs, mean, learned)
    passes = float(times * _passes(inputs / steps / training.ranks, training.batch_tokens))
    mini_batches, scored = 0, 0.0
    if training.mode == "dynamic":
        mini_batches = training.gradient_accumulation_steps
        scored = forward_operations(size, sum(load.scored), mean, load.scored[1])
        passes += scoring_passes(training, sum(load.scored) / steps / training.ranks, load.epoch_steps)
    return Workload(
        operations=operations / training.ranks,
        scored=scored / training.ranks,
        layers=steps * passes * size.shape.layers,
        steps=steps,
        mini_batches=steps * mini_batches,
        table_tokens=tokens.total,
        loaded=size.count * (2 if training.bf16 else 4),
        bf16=training.bf16,
        kind=training.method,
        parameters=size.count,
    )


def scoring_passes(training: Training, tokens: float, epoch_steps: float) -> float:
    """Forward passes per step, on average, that score a dynamic cell's candidates of `tokens` tokens.

    Candidates are packed up to `batch_tokens`, and those of `rescore_every` steps are scored together.
    """
    steps = epoch_steps if training.rescore_every == "epoch" else min(training.rescore_every, epoch_steps)
    return _passes(steps * tokens, training.batch_tokens) / steps


def evaluation_workload(experiment: Experiment, size: Size, benchmarks: Iterable[BenchmarkSize]) -> Workload:
    """One pass over each item's prompt and options, then its answer token by token, in batches of `batch_tokens`.

    A batch generates until its longest answer ends, which is assumed to reach the task's limit.
    """
    settings = experiment.evaluation
    width, operations, layers, read = 2 if settings.dtype == "bfloat16" else 4, 0.0, 0.0, 0.0
    for benchmark in benchmarks:
        tokens = benchmark.items * (benchmark.prompt + benchmark.options)
        scored = benchmark.items * max(benchmark.options, 1)
        operations += forward_operations(size, tokens, benchmark.prompt, scored)
        answers = benchmark.items * benchmark.answer
        operations += forward_operations(size, answers, benchmark.prompt + benchmark.answer, answers)
        tokens = benchmark.items * (benchmark.prompt + benchmark.options + benchmark.longest)
        batches = _passes(tokens, settings.batch_tokens)
        layers += batches * (1 + benchmark.longest) * size.shape.layers
        read += batches * benchmark.longest * size.count * width
    loaded = size.count * width
    bf16 = settings.dtype == "bfloat16"
    return Workload(operations, layers=layers, read=read, loaded=loaded, bf16=bf16, parameters=size.count)


def _passes(tokens: float, batch_tokens: int) -> int:
    return max(1, ceil(tokens / batch_tokens))
