"""What a variant's training may ask of its pruners, as far as the config tells. A refusal is a `ValueError`."""

from collections.abc import Collection, Iterable, Sequence
from math import ceil

from prunegrid import pruners
from prunegrid.core.ragged import exact_fraction
from prunegrid.experiment.training import Training
from prunegrid.experiment.variant import Budget, Variant
from prunegrid.pruners.columns import BASE_NLL, EPOCH_LOSS, FIXED_EXTRAS, MOMENT_EXTRAS, PASS_COLUMNS


def chooses_by_epoch(training: Training) -> bool:
    """Whether the sample pruner works on all the data, at the start of each epoch."""
    return training.mode == "dynamic" and training.prune_samples == "epoch"


def check_trainings(
    variants: Sequence[Variant], default: Training, budgets: Sequence[Budget], imported: Collection[str]
) -> None:
    """Refuse a training that a variant, or the one whose counts it meets, cannot have; `default` is the grid's."""
    known = {variant.name: variant for variant in variants}
    least = min(budget.sample_ratio for budget in budgets)
    for variant in variants:
        training, other = variant.trained_by(default), known[variant.match] if variant.match else None
        check_training(variant, training, budgets)
        match = other.trained_by(default) if other else None
        if training.mode == "dynamic":
            check_mini_batches(variant, other, training, least, imported)
            if match and chooses_by_epoch(match):
                raise ValueError(f"{variant.name}: {variant.match}, its match, prunes no mini-batches; leave it out")
        elif match and match.mode == "dynamic":
            raise ValueError(
                f"{variant.name} is static and {variant.match}, its match, dynamic; give both the same mode"
            )


def check_gpu_options(training: Training, device: str) -> None:
    """Refuse options that the device or the ZeRO stage does not have."""
    for name in ("use_liger_kernel", "offload_optimizer"):
        if device == "cpu" and getattr(training, name):
            raise ValueError(f"training.{name} needs device: cuda; this is {device}")
    if training.use_liger_kernel and training.zero_stage == 3:
        raise ValueError("training.use_liger_kernel is untested with zero_stage: 3; use one of them")
    if training.offload_optimizer and training.zero_stage == 0:
        raise ValueError("training.offload_optimizer needs zero_stage 1, 2 or 3")
    if training.bf16 and training.zero_stage == 0:
        raise ValueError("training.bf16 needs zero_stage 1, 2 or 3: DeepSpeed cannot mix its types at stage 0")


def check_training(variant: Variant, training: Training, budgets: Iterable[Budget]) -> None:
    """Refuse a `training`, the variant's own, that its pruners cannot serve."""
    name, by_epoch = variant.name, chooses_by_epoch(training)
    if training.mode == "dynamic" and training.steps == "kept" and not by_epoch:
        raise ValueError(
            f"{name}: training.steps: kept cannot be known in mode: dynamic before a mini-batch is pruned; "
            "set training.prune_samples: epoch, or mode: static"
        )
    if by_epoch and pruners.pruner_names(variant.method)[1] is None:
        raise ValueError(
            f"{name}: training.prune_samples: epoch needs a pair, whose sample pruner chooses alone; "
            f"{variant.method} prunes each mini-batch: set prune_samples: batch"
        )
    if by_epoch and variant.match:
        raise ValueError(f"{name}: match is for mini-batches; leave it out, or set training.prune_samples: batch")
    if training.prune_twice and training.mode == "dynamic" and variant.match:
        raise ValueError(
            f"{name}: match is met before training.prune_twice; leave one of them out, or set mode: static"
        )
    if not by_epoch and EPOCH_LOSS in pruners.needs(variant.method, variant.options).samples:
        raise ValueError(
            f"{name}: {variant.method} reads losses of earlier epochs; "
            "give it mode: dynamic and training: {prune_samples: epoch}"
        )
    needs = pruners.needs(variant.method, variant.options)
    if training.mode == "static" and BASE_NLL in needs.tokens:
        raise ValueError(
            f"{name}: {needs.tokens[BASE_NLL]} compares losses in training with those before it; give it mode: dynamic"
        )
    if training.prune_twice and not variant.match and pruners.pruner_names(variant.method)[1]:
        for budget in budgets:
            _check_second_cut(name, training, budget.sample_ratio)


def check_mini_batches(
    variant: Variant,
    match: Variant | None,
    training: Training,
    least_ratio: float,
    imported: Collection[str] = (),
) -> None:
    """Refuse pruners that cannot work on mini-batches; `match` is the variant whose counts are met there.

    The columns `imported` are the same at every step.
    """
    by_epoch, size = chooses_by_epoch(training), training.per_device_train_batch_size
    ratio = exact_fraction(least_ratio)
    if not by_epoch and size * ratio < 1 and not _keeps_one(match or variant):
        raise ValueError(
            f"{variant.name}: a mini-batch of {size} (training.per_device_train_batch_size) keeps at least one sample, "
            f"more than the sample_ratio {least_ratio}; give {ceil(1 / ratio)} or more"
        )
    for pruner in (variant, match) if match else (variant,):
        name = variant.name if pruner is variant else f"{variant.name}: its match {pruner.name}"
        needs = pruners.needs(pruner.method, pruner.options)
        read = {*needs.tokens, *(() if by_epoch else needs.samples)}  # files have whatever a whole epoch's choice reads
        if extras := sorted(read - {*PASS_COLUMNS, *MOMENT_EXTRAS, *FIXED_EXTRAS, BASE_NLL, *imported}):
            raise ValueError(f"{name}: no mini-batch has the column {extras[0]}; give it mode: static")
        if pruner.options.get("window") is not None:
            raise ValueError(f"{name}: in mode: dynamic the window is the mini-batch; remove window")


def _keeps_one(variant: Variant) -> bool:
    """Whether its options say that one sample of a mini-batch is kept, though the ratio asks for less than one.

    Q-Tuning's `sample_count: round` is max(1, round(r n)), as the authors' working copy has it; without a fill it is
    no such promise. What `floor` would keep there is more than was asked for, and nobody asked for that.
    """
    options = pruners.complete_options(variant.method, variant.options)
    return options.get("sample_count") == "round" and options.get("fill") != "none"


def _check_second_cut(name: str, training: Training, sample_ratio: float) -> None:
    """Refuse steps of all the data, most of which would have no sample left after the second cut."""
    if training.steps == "kept" or (training.mode == "dynamic" and not chooses_by_epoch(training)):
        return
    ratio, size = exact_fraction(sample_ratio), training.per_device_train_batch_size
    micro_batches = training.gradient_accumulation_steps * training.ranks
    if micro_batches * ratio * max(1, round(ratio * size)) < 1:
        batch = size * micro_batches
        raise ValueError(
            f"{name}: training.prune_twice leaves steps without a sample: a global batch of {batch} x {sample_ratio:g} "
            f"x {sample_ratio:g} is {float(batch * ratio * ratio):g}; set training.steps: kept, or a larger batch"
        )
