"""The names of an experiment's figures, which follow from the experiment alone: Snakemake needs them before any run.

`snakemake --cores 1 figures` writes them. Nothing here imports pandas or matplotlib, to keep Snakemake's start fast.
"""

from prunegrid import pruners
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import BASELINE
from prunegrid.experiment.variant import Budget, Variant

FORMATS = ("svg", "png")


def figures(experiment: Experiment) -> dict[str, str]:
    """The names of one model's figures, each with its kind: the module that draws it, and its caption."""
    kinds = {"eu-plane": "eu-plane", "tokens": "tokens", "pareto": "pareto"}
    if has_baseline(experiment):
        if any(map(is_plain_pair, experiment.variants)):
            kinds["heat-map"] = "heat-map"
        kinds |= {bars_name(budget): "bars" for budget in experiment.grid_budgets}
    if experiment.ladder:
        kinds |= {waterfall_name(budget): "waterfall" for budget in experiment.grid_budgets}
    if dynamic_variants(experiment):
        kinds["curves"] = "curves"
    return kinds


def bars_name(budget: Budget) -> str:
    """The name of a budget's figure of deltas."""
    return f"bars-{budget.name}"


def waterfall_name(budget: Budget) -> str:
    """The name of a budget's figure of a ladder's contributions."""
    return f"waterfall-{budget.name}"


def has_baseline(experiment: Experiment) -> bool:
    """Whether there is a plain random+random as the baseline of deltas, and another variant."""
    plain = [v for v in experiment.variants if v.method == BASELINE and not v.options and not v.match]
    return bool(plain) and len(experiment.variants) > 1


def is_plain_pair(variant: Variant) -> bool:
    """Whether the variant has a place in the heat map: a pair named after its method, not the baseline."""
    parts = [part for part in pruners.pruner_names(variant.method) if part]
    return len(parts) == 2 and variant.name == "+".join(parts) != BASELINE


def dynamic_variants(experiment: Experiment) -> list[Variant]:
    """The variants that are pruned during training."""
    return [v for v in experiment.variants if (v.mode or experiment.training.mode) == "dynamic"]
