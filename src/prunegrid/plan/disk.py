"""Bytes on disk: what an experiment leaves under each `runtime.retention`, and what it needs meanwhile."""

from typing import get_args

from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.training import Runtime, Training
from prunegrid.plan.jobs import Basis
from prunegrid.training.checkpoints import RETAINED
from prunegrid.training.memory_model import trained_parameters

CHECKPOINTS = RETAINED + 1  # during training: the last is written before an older one is deleted
TOKENIZER_BYTES = 4_000_000  # beside each model
ITEM_BYTES = 300  # an evaluated item, zstd
CELL_BYTES = 60_000  # logs, benchmark files, TensorBoard and training.json
TEXT_BYTES, ID_BYTES = 2, 3  # a token's text (zstd), a token's id
SCORE_BYTES = 16  # a response token's four scores
SELECTION_BYTES = 8  # a kept sample or token
RETENTIONS = get_args(Runtime.model_fields["retention"].annotation)


def optimizer_state(training: Training) -> dict[str, int]:
    """Bytes per parameter of a checkpoint of DeepSpeed: measured with 0.19.8 at all stages, in both precisions."""
    stage = training.zero_stage
    if training.bf16:
        return {"Adam": 8, "fp32 master": 4} | ({} if stage == 3 else {"weights": 2})
    return {"Adam": 8, "weights": 4} | ({"ZeRO's copy": 4} if stage in (1, 2) else {})


def weight_bytes(basis: Basis, model: str) -> int:
    """One trained cell: the adapter, or the whole model, in the precision of the training."""
    training = basis.experiment.training
    return trained_parameters(training, basis.sizes[model]) * (2 if training.bf16 else 4) + TOKENIZER_BYTES


def checkpoint_bytes(basis: Basis) -> int:
    """One training job at its peak. Frozen weights are not saved, so only trained parameters count."""
    training = basis.experiment.training
    trained = max(trained_parameters(training, basis.sizes[model]) for model in basis.experiment.models)
    return CHECKPOINTS * trained * sum(optimizer_state(training).values())


def base_model_bytes(basis: Basis) -> int:
    """As stored: two bytes per parameter of a model from the hub or a folder, four of one that is pre-trained here."""
    sources = basis.experiment.sources
    return sum(size.count * (2 if sources[name].hub or sources[name].path else 4) for name, size in basis.sizes.items())


def score_bytes(basis: Basis) -> int:
    """The data set and the scores of all models."""
    tokens = basis.tokens.values()
    return sum(t.total * (TEXT_BYTES + ID_BYTES) + t.response * SCORE_BYTES for t in tokens)


def cell_bytes(basis: Basis, cell: Cell) -> int:
    """A cell's selection, logs and evaluation, without its weights."""
    items = sum(benchmark.items for benchmark in basis.benchmarks.values())
    return CELL_BYTES + ITEM_BYTES * items + (_selection_bytes(basis, cell) if cell.budget else 0)


def _selection_bytes(basis: Basis, cell: Cell) -> int:
    assert cell.budget
    tokens, budget = basis.tokens[cell.model], cell.budget
    return round(SELECTION_BYTES * budget.sample_ratio * (tokens.samples + tokens.response * budget.token_ratio))


def retained_weight_bytes(basis: Basis, retention: str) -> int:
    """The weights that stay of all trained cells, once they are evaluated."""
    experiment = basis.experiment
    runtime = experiment.runtime.model_copy(update={"retention": retention})
    if not grid.keeps_weights(experiment.model_copy(update={"runtime": runtime})):
        return 0
    return sum(weight_bytes(basis, cell.model) for cell in grid.cells(experiment) if cell.trained)


def whole_model_bytes(experiment: Experiment, basis: Basis) -> int:
    """All trained cells, if each were kept as a whole model in bf16."""
    return sum(2 * basis.sizes[cell.model].count for cell in grid.cells(experiment) if cell.trained)
