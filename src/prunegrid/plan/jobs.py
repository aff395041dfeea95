"""Every job of an experiment: its work, the files that it writes, and the line of the plan that it counts in."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.models.size import Size, model_size
from prunegrid.plan import memory, workload
from prunegrid.plan.counts import BenchmarkSize, TokenCounts, benchmark_size, count_tokens, selected_tokens
from prunegrid.plan.workload import Workload

SHARED = "shared by all"


@dataclass(frozen=True)
class PlannedJob:
    """One job: its rule and benchmark file, its workload, the GPUs that it holds, and whether its files exist.

    `group` is a budget's name, a reference, or `SHARED`; `sharers` is the number of jobs that share its GPU.
    """

    rule: str
    benchmark: str
    group: str
    workload: Workload
    gpus: int
    done: bool
    sharers: int = 1


@dataclass(frozen=True)
class Basis:
    """What the estimates rest on: the experiment, its folder, sizes and token counts by model, benchmarks."""

    experiment: Experiment
    root: Path
    sizes: dict[str, Size]
    tokens: dict[str, TokenCounts]
    benchmarks: dict[str, BenchmarkSize]


def read_basis(
    experiment: Experiment, root: Path, samples: int | None = None, tokens_per_sample: int | None = None
) -> Basis:
    """Raises `PrunegridError` if the training set's size is neither on disk nor stated."""
    models = [name for model in experiment.models for name in _models_needed(experiment, model)]
    return Basis(
        experiment,
        root,
        {name: model_size(experiment, name, root) for name in models},
        {name: count_tokens(experiment, name, root, samples, tokens_per_sample) for name in experiment.models},
        {name: benchmark_size(experiment, name, root) for name in experiment.evaluation.benchmarks},
    )


def jobs(basis: Basis) -> list[PlannedJob]:
    """The jobs of rule `all`, as Snakemake would run them in an empty folder."""
    model_jobs = [job for model in basis.experiment.models for job in _model_jobs(basis, model)]
    cell_jobs = [job for cell in grid.cells(basis.experiment) for job in _cell_jobs(basis, cell)]
    return [*_data_jobs(basis), *model_jobs, *cell_jobs, *_report_jobs(basis)]


def _data_jobs(basis: Basis) -> Iterator[PlannedJob]:
    experiment, tokens = basis.experiment, next(iter(basis.tokens.values()))
    if experiment.sandbox:
        yield _shared(basis, "world", "world", Workload(), layout.WORLD_TEXT)
    data = f"data/{experiment.dataset.name}"
    yield _shared(basis, "dataset", "dataset", Workload(table_tokens=tokens.total), f"{data}.parquet", f"{data}.json")
    for name in experiment.evaluation.benchmarks:
        yield _shared(basis, "benchmark_items", f"benchmark/{name}", Workload(), f"data/benchmarks/{name}.jsonl")


def _model_jobs(basis: Basis, model: str) -> Iterator[PlannedJob]:
    experiment, root = basis.experiment, basis.root
    for name in _models_needed(experiment, model):
        pretrain, size = experiment.sources[name].pretrain, basis.sizes[name]
        load = workload.pretraining_workload(size, pretrain.steps) if pretrain else Workload(loaded=4 * size.count)
        yield _shared(basis, "model", f"model/{name}", load, f"models/{name}.json", f"models/{name}")
    scores, shards = f"scores/{model}", experiment.scoring.shards
    files = [f"{scores}/{file}" for file in ("samples.parquet", "tokens.parquet", "meta.json")]
    tokens, gpus, sharers = basis.tokens[model], _gpus(experiment, 1), experiment.runtime.sharers(1)
    scoring = workload.scoring_workload(experiment.scoring, basis.sizes[model], tokens)
    for shard in range(1, shards + 1):
        done = _exist(root, files)
        yield PlannedJob("score", f"score/{model}/{shard}-of-{shards}", SHARED, scoring, gpus, done, sharers)
    yield _shared(basis, "gather_scores", f"gather_scores/{model}", Workload(table_tokens=tokens.total), *files)
    for name in _extra_scores(experiment, model):
        size = basis.sizes[f"{model}@reference" if name == "reference_nll" else model]
        load = workload.extra_score_workload(name, experiment.scoring, size, tokens)
        done = _exist(root, [f"{scores}/extra/{name}.parquet"])
        yield PlannedJob("extra_score", f"extra_score/{model}/{name}", SHARED, load, gpus, done, sharers)


def _cell_jobs(basis: Basis, cell: Cell) -> Iterator[PlannedJob]:
    experiment, root, name = basis.experiment, basis.root, cell.name
    group = cell.budget.name if cell.budget else cell.variant
    scores = [f"evaluation/{name}/{benchmark}.{kind}" for benchmark in basis.benchmarks for kind in ("json", "parquet")]
    evaluated = _exist(root, scores)
    dynamic = cell.trained and grid.dynamic(experiment, cell)
    if cell.pruned and not dynamic:
        load = Workload(table_tokens=basis.tokens[cell.model].total)
        done = _exist(root, [f"pruned/{name}/selection.parquet", f"pruned/{name}/selection.json"])
        yield PlannedJob("prune", f"prune/{name}", group, load, 0, done)
    if cell.trained:
        load, gpus = _training(basis, cell), _gpus(experiment, experiment.training.ranks)
        deleted = evaluated and not grid.keeps_weights(experiment)
        done = _exist(root, [f"trained/{name}/training.json", *([] if deleted else [f"trained/{name}/model"])])
        sharers = experiment.runtime.sharers(experiment.training.ranks)
        yield PlannedJob("train_dynamic" if dynamic else "train", f"train/{name}", group, load, gpus, done, sharers)
    load = workload.evaluation_workload(experiment, basis.sizes[cell.model], basis.benchmarks.values())
    gpus, sharers = _gpus(experiment, 1), experiment.runtime.sharers(1)
    yield PlannedJob("evaluate", f"evaluate/{name}", group, load, gpus, evaluated, sharers)


def _training(basis: Basis, cell: Cell) -> Workload:
    size, tokens = basis.sizes[cell.model], basis.tokens[cell.model]
    training = memory.resolve_checkpointing(basis.experiment, size, grid.training_of(basis.experiment, cell))
    epoch_tokens, token_ratio = (float(tokens.prompt), float(tokens.response)), 1.0
    if cell.budget:
        selection = basis.root / "pruned" / cell.model / cell.path / layout.SELECTION
        method, token_ratio = basis.experiment.variant(cell.variant).method, cell.budget.token_ratio
        epoch_tokens = selected_tokens(tokens, method, cell.budget.sample_ratio, selection)
    return workload.training_workload(training, size, tokens, epoch_tokens, token_ratio)


def _report_jobs(basis: Basis) -> Iterator[PlannedJob]:
    tokens = sum(counts.total for counts in basis.tokens.values())
    yield _shared(basis, "record", "record", Workload(), "experiment.json")
    yield _shared(basis, "collect", "collect", Workload(), "results.parquet", "deltas.parquet")
    yield _shared(basis, "table", "table", Workload(), "table/table.md")
    yield _shared(basis, "figures", "figures", Workload(table_tokens=tokens), "figures")


def _shared(basis: Basis, rule: str, benchmark: str, load: Workload, *files: str) -> PlannedJob:
    return PlannedJob(rule, benchmark, SHARED, load, 0, _exist(basis.root, files))


def _exist(root: Path, files: list[str] | tuple[str, ...]) -> bool:
    return all((root / file).exists() for file in files)


def _gpus(experiment: Experiment, count: int) -> int:
    return count if experiment.device == "cuda" else 0


def _models_needed(experiment: Experiment, model: str) -> list[str]:
    """The model, and its reference if a variant compares with one."""
    return [model, *([f"{model}@reference"] if "reference_nll" in _extra_scores(experiment, model) else [])]


def _extra_scores(experiment: Experiment, model: str) -> list[str]:
    """The optional scores that the model's cells read."""
    cells = [cell for cell in grid.cells(experiment) if cell.model == model and cell.pruned]
    return sorted({name for cell in cells for name in grid.extra_columns(experiment, cell)})
