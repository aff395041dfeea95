"""Every job of an experiment: what it computes, which files it leaves, and which line of the plan it belongs to."""

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
    """One job: its rule and benchmark file, its work, the GPUs that it holds, and whether its files are there.

    `group` is a budget's name, a reference, or `SHARED`; `sharers` the number of jobs that share its GPU.
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
    """What the estimates start from: the experiment, its folder, sizes of models, tokens by model, items."""

    experiment: Experiment
    root: Path
    sizes: dict[str, Size]
    tokens: dict[str, TokenCounts]
    benchmarks: dict[str, BenchmarkSize]


def read_basis(
    experiment: Experiment, root: Path, samples: int | None = None, tokens_per_sample: int | None = None
) -> Basis:
    """Raises `PrunegridError` where the training set's size is neither on disk nor stated."""
    used = [name for model in experiment.models for name in _models_needed(experiment, model)]
    return Basis(
        experiment,
        root,
        {name: model_size(experiment, name, root) for name in used},
        {name: count_tokens(experiment, name, root, samples, tokens_per_sample) for name in experiment.models},
        {name: benchmark_size(experiment, name, root) for name in experiment.evaluation.benchmarks},
    )


def jobs(known: Basis) -> list[PlannedJob]:
    """The jobs of rule `all`, as Snakemake would run them in an empty folder."""
    of_models = [job for model in known.experiment.models for job in _model_jobs(known, model)]
    of_cells = [job for cell in grid.cells(known.experiment) for job in _cell_jobs(known, cell)]
    return [*_data_jobs(known), *of_models, *of_cells, *_report_jobs(known)]


def _data_jobs(known: Basis) -> Iterator[PlannedJob]:
    experiment, tokens = known.experiment, next(iter(known.tokens.values()))
    if experiment.sandbox:
        made = "world/sandbox/pretrain/default/train.jsonl"
        yield _shared(known, "world", "world", Workload(), made)
    data = f"data/{experiment.dataset.name}"
    yield _shared(known, "dataset", "dataset", Workload(table_tokens=tokens.total), f"{data}.parquet", f"{data}.json")
    for name in experiment.evaluation.benchmarks:
        yield _shared(known, "benchmark_items", f"benchmark/{name}", Workload(), f"data/benchmarks/{name}.jsonl")


def _model_jobs(known: Basis, model: str) -> Iterator[PlannedJob]:
    experiment, root = known.experiment, known.root
    for name in _models_needed(experiment, model):
        pretrain, size = experiment.sources[name].pretrain, known.sizes[name]
        made = workload.pretraining_workload(size, pretrain.steps) if pretrain else Workload(loaded=4 * size.count)
        yield _shared(known, "model", f"model/{name}", made, f"models/{name}.json", f"models/{name}")
    scores, shards = f"scores/{model}", experiment.scoring.shards
    gathered = [f"{scores}/{file}" for file in ("samples.parquet", "tokens.parquet", "meta.json")]
    tokens, gpus, sharers = known.tokens[model], _gpus(experiment, 1), experiment.runtime.sharers(1)
    scoring = workload.scoring_workload(experiment.scoring, known.sizes[model], tokens)
    for shard in range(1, shards + 1):
        done = _exist(root, gathered)
        yield PlannedJob("score", f"score/{model}/{shard}-of-{shards}", SHARED, scoring, gpus, done, sharers)
    yield _shared(known, "gather_scores", f"gather_scores/{model}", Workload(table_tokens=tokens.total), *gathered)
    for name in _extra_scores(experiment, model):
        asked_of = known.sizes[f"{model}@reference" if name == "reference_nll" else model]
        needed = workload.extra_score_workload(name, experiment.scoring, asked_of, tokens)
        done = _exist(root, [f"{scores}/extra/{name}.parquet"])
        yield PlannedJob("extra_score", f"extra_score/{model}/{name}", SHARED, needed, gpus, done, sharers)


def _cell_jobs(known: Basis, cell: Cell) -> Iterator[PlannedJob]:
    experiment, root, at = known.experiment, known.root, f"{cell.model}/{cell.path}"
    group = cell.budget.name if cell.budget else cell.variant
    scores = [f"evaluation/{at}/{name}.{kind}" for name in known.benchmarks for kind in ("json", "parquet")]
    evaluated = _exist(root, scores)
    dynamic = cell.trained and grid.dynamic(experiment, cell)
    if cell.pruned and not dynamic:
        needed = Workload(table_tokens=known.tokens[cell.model].total)
        done = _exist(root, [f"pruned/{at}/selection.parquet", f"pruned/{at}/selection.json"])
        yield PlannedJob("prune", f"prune/{at}", group, needed, 0, done)
    if cell.trained:
        needed, gpus = _training(known, cell), _gpus(experiment, experiment.training.ranks)
        let_go = evaluated and not grid.keeps_weights(experiment)
        done = _exist(root, [f"trained/{at}/training.json", *([] if let_go else [f"trained/{at}/model"])])
        sharers = experiment.runtime.sharers(experiment.training.ranks)
        yield PlannedJob("train_dynamic" if dynamic else "train", f"train/{at}", group, needed, gpus, done, sharers)
    asking = workload.evaluation_workload(experiment, known.sizes[cell.model], known.benchmarks.values())
    gpus, sharers = _gpus(experiment, 1), experiment.runtime.sharers(1)
    yield PlannedJob("evaluate", f"evaluate/{at}", group, asking, gpus, evaluated, sharers)


def _training(known: Basis, cell: Cell) -> Workload:
    size, tokens = known.sizes[cell.model], known.tokens[cell.model]
    training = memory.resolve_checkpointing(known.experiment, size, grid.training_of(known.experiment, cell))
    kept, token_ratio = (float(tokens.prompt), float(tokens.response)), 1.0
    if cell.budget:
        selection = known.root / "pruned" / cell.model / cell.path / layout.SELECTION
        method, token_ratio = known.experiment.variant(cell.variant).method, cell.budget.token_ratio
        kept = selected_tokens(tokens, method, cell.budget.sample_ratio, selection)
    return workload.training_workload(training, size, tokens, kept, token_ratio)


def _report_jobs(known: Basis) -> Iterator[PlannedJob]:
    read = sum(tokens.total for tokens in known.tokens.values())
    yield _shared(known, "record", "record", Workload(), "experiment.json")
    yield _shared(known, "collect", "collect", Workload(), "results.parquet", "deltas.parquet")
    yield _shared(known, "table", "table", Workload(), "table/table.md")
    yield _shared(known, "figures", "figures", Workload(table_tokens=read), "figures")


def _shared(known: Basis, rule: str, benchmark: str, needed: Workload, *files: str) -> PlannedJob:
    return PlannedJob(rule, benchmark, SHARED, needed, 0, _exist(known.root, files))


def _exist(root: Path, files: list[str] | tuple[str, ...]) -> bool:
    return all((root / file).exists() for file in files)


def _gpus(experiment: Experiment, count: int) -> int:
    return count if experiment.device == "cuda" else 0


def _models_needed(experiment: Experiment, model: str) -> list[str]:
    """The model, and its reference where a variant compares with one."""
    return [model, *([f"{model}@reference"] if "reference_nll" in _extra_scores(experiment, model) else [])]


def _extra_scores(experiment: Experiment, model: str) -> list[str]:
    """The optional scores that the model's cells read."""
    cells = [cell for cell in grid.cells(experiment) if cell.model == model and cell.pruned]
    return sorted({name for cell in cells for name in grid.extra_columns(experiment, cell)})
