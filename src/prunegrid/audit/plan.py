"""What the audit needs: base models and their replicas, optional scores, ratios. The rules read it, so it is light."""

from prunegrid import pruners
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.model import Source
from prunegrid.pruners.columns import EXTRAS, QUERY_EXTRAS, REFERENCE_EXTRAS

SEEDS = 3
PLANTED = ("kind", "wrong_words")


def all_models(experiment: Experiment) -> dict[str, Source]:
    """Every model that a rule can make: base models, their references, and the audit's replicas."""
    return {**experiment.sources, **audited_models(experiment)}


def audited_models(experiment: Experiment) -> dict[str, Source]:
    """The first pre-trained base model, and replicas of it that differ only in the seed of their pre-training.

    A replica is named `<model>@seed<its seed>`, as no model of a config can be. None if there is an `audit_error`.
    """
    if audit_error(experiment):
        return {}
    name, first, pretrain = next((n, m.source, m.pretrain) for n, m in experiment.models.items() if m.pretrain)
    seeds = range(pretrain.seed + 1, pretrain.seed + SEEDS)
    replicas = {seed: pretrain.model_copy(update={"seed": seed}) for seed in seeds}
    return {
        name: first,
        **{f"{name}@seed{s}": first.model_copy(update={"pretrain": replica}) for s, replica in replicas.items()},
    }


def audit_error(experiment: Experiment) -> PrunegridError | None:
    """Why the experiment cannot be audited: nothing in its data was planted, or no replica can be pre-trained."""
    where = f"audit of {experiment.experiment}"
    if experiment.sandbox is None:
        what = "the experiment has no sandbox, so nothing in its data was planted"
        return PrunegridError(where, what, "run the audit on a sandbox experiment")
    if not any(model.pretrain for model in experiment.models.values()):
        return PrunegridError(where, "no model has pretrain, so there are no replicas to train", "add one to models")
    missing = [name for name in PLANTED if name not in experiment.dataset.carry]
    if missing:
        fix = f"write dataset.carry: [{', '.join(PLANTED)}]"
        return PrunegridError(where, f"the data set does not carry {' and '.join(missing)}", fix)
    return None


def audited_extras(experiment: Experiment) -> list[str]:
    """The optional and imported scores that registered pruners read by default, if the experiment can make them."""
    token = [pruner.token_columns(pruner.options.complete({}, "")) for pruner in pruners.TOKEN.values()]
    sample = [pruner.sample_columns(pruner.options.complete({}, "")) for pruner in pruners.SAMPLE.values()]
    columns = {column for names in (*token, *sample) for column in names} & {*EXTRAS, *experiment.scores}
    reference = next(model.reference for model in experiment.models.values() if model.pretrain)
    return sorted(columns - (set() if reference else REFERENCE_EXTRAS) - (set() if experiment.query else QUERY_EXTRAS))


def audited_ratios(experiment: Experiment) -> dict[str, list[float]]:
    """The experiment's distinct ratios; the audit adds its own."""
    budgets = experiment.grid_budgets
    return {
        "sample_ratios": sorted({budget.sample_ratio for budget in budgets}),
        "token_ratios": sorted({budget.token_ratio for budget in budgets}),
    }
