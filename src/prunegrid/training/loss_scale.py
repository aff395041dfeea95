"""What a step's loss is divided by: `loss_divisor`, `loss_average` and `accumulation` of `training`.

A micro-batch is what one rank has in one slot of the accumulation, however many forward passes hold its samples: its
share of the loss is in the weights of its tokens. One that divides by nothing, since it has no samples (or no trained
tokens to count), is not a micro-batch of its step.
"""

from prunegrid.experiment.training import Training
from prunegrid.selection.examples import Example


def divisors(micro_batches: list[list[Example]], training: Training) -> list[int]:
    """Of each micro-batch, the tokens that its loss is divided by: those trained on, or all that pruning left."""
    if training.loss_divisor == "kept_tokens":
        return [sum(example.kept_tokens for example in batch) for batch in micro_batches]
    return [sum(example.trainable for example in batch) for batch in micro_batches]


def with_equal_weight(micro_batches: list[list[Example]], training: Training) -> list[list[Example]]:
    """With `loss_average: micro_batch` the same samples, their weights over their micro-batch's divisor: each sums to a
    mean. Otherwise the samples as they are."""
    if training.loss_average == "global_batch":
        return micro_batches
    shares = zip(micro_batches, divisors(micro_batches, training), strict=True)
    return [[_divided(example, divisor or 1) for example in batch] for batch, divisor in shares]


def _divided(example: Example, divisor: int) -> Example:
    weights = example.weights and [weight / divisor for weight in example.weights]
    return example._replace(weight=example.weight / divisor, weights=weights)


def step_divisor(tokens: int, micro_batches: int, training: Training) -> float:
    """What the sum of weight x NLL over a step is divided by.

    `tokens` are the divisors of all its micro-batches together, on all ranks; `micro_batches` how many it has. With
    `accumulation: sum` the micro-batches of a rank are summed, and only ranks are averaged.
    """
    total = tokens if training.loss_average == "global_batch" else micro_batches
    if training.accumulation == "sum" and micro_batches:
        return total * training.ranks / micro_batches
    return total or 1
