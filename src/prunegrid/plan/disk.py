"""Bytes on disk: what stays of an experiment under each `runtime.retention`, and what is there only for a while."""

from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.sections import Training
from prunegrid.plan.jobs import Basis
from prunegrid.training.checkpoints import RETAINED
from prunegrid.training.memory_model import trained_parameters

CHECKPOINTS = RETAINED + 1  # of a cell that is being trained: the last is written before an older one is deleted
TOKENIZER = 4_000_000  # beside each model
ITEM = 300  # of an answered item, zstd
CELL = 60_000  # logs, benchmark files, TensorBoard and training.json
CHARACTERS = 2  # of a token's text, zstd
SCORED, IDS = 16, 3  # of a response token's four scores, of any token's id
KEPT = 8  # of a kept sample or token
RETENTIONS = ("all", "adapters", "scores")


def optimizer_state(training: Training) -> dict[str, int]:
    """Bytes a parameter of what DeepSpeed saves to go on from: as measured with 0.19.8, all stages, both precisions."""
    stage = training.zero_stage
    if training.bf16:
        return {"Adam": 8, "fp32 master": 4} | ({} if stage == 3 else {"weights": 2})
    return {"Adam": 8, "weights": 4} | ({"ZeRO's copy": 4} if stage in (1, 2) else {})


def weight_bytes(basis: Basis, model: str) -> int:
    """Of one trained cell: the adapter, or the whole model, in the precision of the training."""
    training = basis.experiment.training
    return trained_parameters(training, basis.sizes[model]) * (2 if training.bf16 else 4) + TOKENIZER


def checkpoint_bytes(basis: Basis) -> int:
    """Of one training job at its most: of what it trains only, since frozen weights are not saved."""
    training = basis.experiment.training
    trained = max(trained_parameters(training, basis.sizes[model]) for model in basis.experiment.models)
    return CHECKPOINTS * trained * sum(optimizer_state(training).values())


def base_model_bytes(basis: Basis) -> int:
    """As they are stored: two bytes a parameter of one from the hub or a folder, four of one that is made here."""
    sources = basis.experiment.sources
    return sum(size.count * (2 if sources[name].hub or sources[name].path else 4) for name, size in basis.sizes.items())


def score_bytes(basis: Basis) -> int:
    """Data set and scores of all models."""
    tokens = basis.tokens.values()
    return sum(t.total * (CHARACTERS + IDS) + t.response * SCORED for t in tokens)


def cell_bytes(basis: Basis, cell: Cell) -> int:
    """Selection, log and evaluation of a cell, its weights apart."""
    items = sum(ask.items for ask in basis.benchmarks.values())
    return CELL + ITEM * items + (_selection_bytes(basis, cell) if cell.budget else 0)


def _selection_bytes(basis: Basis, cell: Cell) -> int:
    assert cell.budget
    tokens, budget = basis.tokens[cell.model], cell.budget
    return round(KEPT * budget.sample_ratio * (tokens.samples + tokens.response * budget.token_ratio))


def retained_weight_bytes(basis: Basis, retention: str) -> int:
    """Of all trained cells' weights, once they are evaluated."""
    experiment = basis.experiment
    runtime = experiment.runtime.model_copy(update={"retention": retention})
    if not grid.keeps_weights(experiment.model_copy(update={"runtime": runtime})):
        return 0
    return sum(weight_bytes(basis, cell.model) for cell in grid.cells(experiment) if cell.trained)


def whole_model_bytes(experiment: Experiment, basis: Basis) -> int:
    """What the trained cells would take if each were kept as a whole model in bf16."""
    return sum(2 * basis.sizes[cell.model].count for cell in grid.cells(experiment) if cell.trained)
