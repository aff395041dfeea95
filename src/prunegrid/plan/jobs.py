"""Every job of an experiment: its work, the files that it writes, and the line of the plan that counts it."""

from dataclasses import dataclass
from pathlib import Path

from prunegrid.core.parts import find_table
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.inputs import reference_name
from prunegrid.experiment.step import Step
from prunegrid.experiment.steps import all_steps, finished
from prunegrid.models.size import Size, model_size
from prunegrid.plan import memory, workload
from prunegrid.plan.counts import BenchmarkSize, TokenCounts, benchmark_size, count_tokens, selected_tokens
from prunegrid.plan.epochs import realised_ratio
from prunegrid.plan.memory import PASSES, TRAINING
from prunegrid.plan.workload import Workload
from prunegrid.pruners.columns import REFERENCE_EXTRAS

SHARED = "shared by all"


@dataclass(frozen=True)
class PlannedJob:
    """One job: its step, its workload, the GPUs that it holds, and whether its files exist.

    `group` is a budget's name, a reference, or `SHARED`; `sharers` is the number of jobs that share its GPU.
    """

    step: Step
    group: str
    workload: Workload
    gpus: int
    done: bool
    sharers: int = 1

    @property
    def rule(self) -> str:
        return self.step.rule


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
    models = [step.job for step in all_steps(experiment) if step.rule == "model"]
    return Basis(
        experiment,
        root,
        {name: model_size(experiment, name, root) for name in models},
        {name: count_tokens(experiment, name, root, samples, tokens_per_sample) for name in experiment.models},
        {name: benchmark_size(experiment, name, root) for name in experiment.evaluation.asked},
    )


def jobs(basis: Basis) -> list[PlannedJob]:
    """The jobs of rule `all`, as Snakemake would run them in an empty folder."""
    steps = all_steps(basis.experiment)
    done = finished(steps, lambda name: (basis.root / name).exists())
    return [_planned(basis, step, step in done) for step in steps]


def _planned(basis: Basis, step: Step, done: bool) -> PlannedJob:
    experiment, cell = basis.experiment, step.cell
    group = SHARED if cell is None else cell.budget.name if cell.budget else cell.variant
    gpus = experiment.training.ranks if step.rule in TRAINING else int(step.rule in PASSES)
    load = _cell_workload(basis, step.rule, cell) if cell else _shared_workload(basis, step)
    sharers = experiment.runtime.sharers(gpus) if gpus else 1
    return PlannedJob(step, group, load, gpus if experiment.device == "cuda" else 0, done, sharers)


def _shared_workload(basis: Basis, step: Step) -> Workload:
    experiment, (model, _, column) = basis.experiment, step.job.partition("/")
    match step.rule:
        case "model":
            pretrain, size = experiment.sources[model].pretrain, basis.sizes[model]
            if not pretrain:
                return Workload(loaded=4 * size.count)
            return workload.pretraining_workload(size, pretrain.steps, pretrain.block_length)
        case "score":
            references = basis.sizes.get(reference_name(model))
            return workload.scoring_workload(experiment.scoring, basis.sizes[model], basis.tokens[model], references)
        case "extra_score" | "vector_score" | "query_score":
            size = basis.sizes[reference_name(model) if column in REFERENCE_EXTRAS else model]
            return workload.extra_score_workload(column, experiment.scoring, size, basis.tokens[model])
        case "gather_scores":
            return Workload(table_tokens=basis.tokens[model].total)
        case "dataset" | "contamination":
            return Workload(table_tokens=next(iter(basis.tokens.values())).total)
        case "figures" | "report":
            return Workload(table_tokens=sum(counts.total for counts in basis.tokens.values()))
    return Workload()


def _cell_workload(basis: Basis, rule: str, cell: Cell) -> Workload:
    if rule == "import_scores":
        return Workload()
    if rule in ("prune", "choose"):
        return Workload(table_tokens=basis.tokens[cell.model].total)
    if rule == "cut":
        return Workload(table_tokens=basis.tokens[cell.model].total // basis.experiment.pruning.shards)
    if rule == "gather_selection":
        return Workload()
    if rule in TRAINING:
        return _training(basis, cell)
    return workload.evaluation_workload(basis.experiment, basis.sizes[cell.model], basis.benchmarks.values())


def _training(basis: Basis, cell: Cell) -> Workload:
    size, tokens = basis.sizes[cell.model], basis.tokens[cell.model]
    training = memory.resolve_checkpointing(basis.experiment, size, grid.training_of(basis.experiment, cell))
    epoch_tokens, token_ratio = (float(tokens.prompt), float(tokens.response)), 1.0
    pruning = grid.pruning_of(basis.experiment, cell) if cell.pruned else None
    if cell.budget and pruning:
        selection = find_table(basis.root / layout.pruned(cell.name) / layout.SELECTION)
        method, token_ratio = basis.experiment.variant(cell.variant).method, cell.budget.token_ratio
        token_ratio = 1.0 if method == "all" else token_ratio
        if method != "all":
            epoch_tokens = selected_tokens(tokens, method, realised_ratio(training, pruning), selection)
    return workload.training_workload(training, size, tokens, epoch_tokens, token_ratio, pruning)
