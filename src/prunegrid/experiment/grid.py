"""From the experiment to its cells: the units that are pruned, trained and evaluated."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from prunegrid import pruners
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import FULL, SHUFFLED, ZERO_SHOT
from prunegrid.experiment.training import Lora, Mode, Training
from prunegrid.experiment.variant import Budget, Variant
from prunegrid.pruners import MethodSpec, PruningSpec
from prunegrid.pruners.columns import FIXED_EXTRAS, PASS_COLUMNS
from prunegrid.pruners.epochs import choice_columns

PATH = rf"{ZERO_SHOT}|(?:{FULL}|{SHUFFLED})/seed\d+|s[\d.e-]+-t[\d.e-]+/[^/]+/seed\d+"


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

    @cached_property
    def name(self) -> str:
        """What `prunegrid.experiment.layout` calls the cell: its model, then its path."""
        return f"{self.model}/{self.path}"

    @property
    def pruned(self) -> bool:
        return self.budget is not None

    @property
    def trained(self) -> bool:
        return self.seed is not None


def cells(experiment: Experiment) -> list[Cell]:
    """All cells, in the table's order: for each model zero-shot, budget by budget, full."""
    return [cell for model in experiment.models for cell in _model_cells(experiment, model)]


def _model_cells(experiment: Experiment, model: str) -> Iterator[Cell]:
    if ZERO_SHOT in experiment.references:
        yield Cell(model, ZERO_SHOT)
    for budget in experiment.grid_budgets:
        for variant in experiment.variants:
            for seed in experiment.seeds:
                yield Cell(model, variant.name, budget, seed)
    for reference in (SHUFFLED, FULL):
        if reference in experiment.references:
            for seed in experiment.seeds:
                yield Cell(model, reference, None, seed)


def extra_columns(experiment: Experiment, cell: Cell) -> list[str]:
    """The optional score columns that the cell's pruners read from files, beyond those of every scoring pass.

    A dynamic cell computes those that depend on the weights itself, unless it chooses samples once an epoch.
    """
    if dynamic(experiment, cell):
        spec, training = pruning_of(experiment, cell), training_of(experiment, cell)
        chosen_by = choice_columns(spec) if training.prune_samples == "epoch" else ()
        return sorted((spec.columns & {*FIXED_EXTRAS, *experiment.scores}) | {*chosen_by})
    variant = experiment.variant(cell.variant)
    needs = pruners.needs(variant.method, variant.options)
    return sorted({*needs.samples, *needs.tokens} - set(PASS_COLUMNS))


def matched_cell(experiment: Experiment, cell: Cell) -> Cell | None:
    """The cell whose realised counts this one keeps, for a static variant with `match`.

    A dynamic variant keeps in each mini-batch what the other's pruner would keep there, so it depends on no cell.
    """
    match = experiment.variant(cell.variant).match
    return replace(cell, variant=match) if match and not dynamic(experiment, cell) else None


def training_of(experiment: Experiment, cell: Cell) -> Training:
    """How the cell is trained: with the variant's own settings, if it has any. Settings without effect are reset.

    Otherwise a change of `removal` would train Full again, and one of `lora` the cells that train all weights.
    """
    if cell.pruned:
        variant = experiment.variant(cell.variant)
        training = variant.trained_by(experiment.training)
        if variant.method == "all":  # it has no ratio that a second cut could keep
            training = training.model_copy(update={"prune_twice": False})
    else:
        training = experiment.training.model_copy(update={"mode": "static", "removal": "mask"})
    unused = {name: Training.model_fields[name].default for name in _without_effect(training, cell)}
    return training.model_copy(update=unused | ({"lora": Lora()} if training.method == "full" else {}))


def trainings(experiment: Experiment) -> list[Training]:
    """Each distinct way in which cells are trained, whatever the model and the seed; the config's if none is."""
    some = {(cell.variant, cell.budget and cell.budget.name): cell for cell in cells(experiment) if cell.trained}
    distinct = {item.model_dump_json(): item for item in (training_of(experiment, cell) for cell in some.values())}
    return list(distinct.values()) or [experiment.training]


def _without_effect(training: Training, cell: Cell) -> set[str]:
    """The settings that change nothing of how the cell is trained."""
    static, names = training.mode == "static", set[str]()
    if not training.optim.startswith("adamw"):
        names |= {"adam_beta1", "adam_beta2", "adam_epsilon"}
    if static:
        names |= {"rescore_every", "prune_samples"} | (set() if training.packing else {"batch_tokens"})
    if not cell.pruned:
        names |= {"steps", "prune_twice"}
    if cell.budget and cell.budget.sample_ratio == 1:
        names.add("prune_twice")
    if training.max_steps or training.steps == "full" or "steps" in names:
        names.add("scheduler_steps")
    return names


def removals(experiment: Experiment) -> set[str]:
    """How pruned tokens are removed, over all cells that are trained."""
    return {training_of(experiment, cell).removal for cell in cells(experiment) if cell.trained}


def dynamic(experiment: Experiment, cell: Cell) -> bool:
    """Whether the cell is pruned in its training, and so has no prune job."""
    return _mode(experiment, cell) == "dynamic"


def _mode(experiment: Experiment, cell: Cell) -> Mode:
    return (experiment.variant(cell.variant).mode or experiment.training.mode) if cell.pruned else "static"


def keeps_weights(experiment: Experiment) -> bool:
    """Whether trained models are kept after evaluation; `training.json` always is."""
    retention = experiment.runtime.retention
    return retention == "all" or (retention == "adapters" and experiment.training.method == "lora")


def dynamic_path(experiment: Experiment) -> str:
    """A regular expression for the paths of dynamic cells; it matches nothing if there are none."""
    names = [v.name for v in experiment.variants if (v.mode or experiment.training.mode) == "dynamic"]
    return rf"s[\d.e-]+-t[\d.e-]+/(?:{'|'.join(map(re.escape, names))})/seed\d+" if names else "(?!)"


def selection_folder(experiment: Experiment, cell: Cell) -> str:
    """The folder of a pruned cell's selection. A dynamic cell has no prune job: it is that of its training."""
    return (layout.trained if dynamic(experiment, cell) else layout.pruned)(cell.name)


def selection_summary(experiment: Experiment, cell: Cell) -> str:
    """The file that says what was selected for a pruned cell, static or dynamic, and how."""
    return f"{selection_folder(experiment, cell)}/{layout.SUMMARY}"


def pruning_of(experiment: Experiment, cell: Cell) -> PruningSpec:
    """What decides the cell's selection, besides the scores; for a dynamic cell also what it is matched to."""
    assert cell.budget, f"{cell.path} is not pruned"
    variant = experiment.variant(cell.variant)
    match = experiment.variant(variant.match) if variant.match and dynamic(experiment, cell) else None
    counterpart = match and MethodSpec(**_method_of(match))
    return PruningSpec(**_method_of(variant), **dict(cell.budget), match=counterpart, unit=experiment.unit)


def _method_of(variant: Variant) -> dict[str, Any]:
    options = pruners.complete_options(variant.method, variant.options)
    return {"variant": variant.name, "method": variant.method, "options": options}
