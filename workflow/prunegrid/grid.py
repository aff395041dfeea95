"""From the experiment to its cells: the units that are pruned, trained and evaluated."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from prunegrid import pruners
from prunegrid.config import Budget, Experiment, Lora, Training

SCORED = ("nll", "ppl", "entropy", "fastv", "sparsevlm")
PATH = r"zero-shot|full/seed\d+|s[\d.e-]+-t[\d.e-]+/[^/]+/seed\d+"


@dataclass(frozen=True)
class Cell:
    """One row of the table for one model and seed; reference cells have no budget, zero-shot no seed."""

    model: str
    variant: str
    budget: Budget | None = None
    seed: int | None = None

    @property
    def path(self) -> str:
        """The cell's folder below its model's: `s0.125-t0.5/random+ppl/seed0`, `full/seed0`, `zero-shot`."""
        parts = (
            self.budget and self.budget.name,
            self.variant,
            None if self.seed is None else f"seed{self.seed}",
        )
        return "/".join(part for part in parts if part)

    @property
    def pruned(self) -> bool:
        return self.budget is not None

    @property
    def trained(self) -> bool:
        return self.seed is not None


def cells(experiment: Experiment) -> list[Cell]:
    """All cells, in the table's order: per model zero-shot, then budget by budget, then full."""
    return [cell for model in experiment.models for cell in _of_model(experiment, model)]


def _of_model(experiment: Experiment, model: str) -> Iterator[Cell]:
    if "zero-shot" in experiment.references:
        yield Cell(model, "zero-shot")
    for budget in experiment.grid_budgets:
        for variant in experiment.variants:
            for seed in experiment.seeds:
                yield Cell(model, variant.name, budget, seed)
    if "full" in experiment.references:
        for seed in experiment.seeds:
            yield Cell(model, "full", None, seed)


def extra_columns(experiment: Experiment, cell: Cell) -> list[str]:
    """The optional score columns that the cell's pruners read, beyond those of every scoring pass."""
    variant = experiment.variant(cell.variant)
    needs = pruners.needs(variant.method, variant.options)
    return sorted({*needs.samples, *needs.tokens} - set(SCORED))


def matched_cell(experiment: Experiment, cell: Cell) -> Cell | None:
    """The cell whose realised counts this one meets, for a variant with `match`."""
    match = experiment.variant(cell.variant).match
    return replace(cell, variant=match) if match else None


def training_of(experiment: Experiment, cell: Cell) -> Training:
    """How the cell is trained: the variant's own removal if it names one; what has no effect is left at its default.

    So changing `removal` does not train Full again, nor changing `lora` what is fully fine-tuned.
    """
    removal = "mask"
    if cell.pruned:
        removal = experiment.variant(cell.variant).removal or experiment.training.removal
    lora = experiment.training.lora if experiment.training.method == "lora" else Lora()
    return experiment.training.model_copy(update={"removal": removal, "lora": lora})
