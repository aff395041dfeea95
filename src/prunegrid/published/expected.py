"""What each row of the published tables was trained on, as the two readings of the method would have it.

Computed, not measured: steps and sample passes follow from the ratios, kept tokens from the pruners on simulated
mini-batches (`simulation`). Shares are of Full Dataset's. Mini-batches of 8 and three epochs are the paper's settings.
Nothing shows which state of the authors' code made the tables.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.ragged import exact_fraction
from prunegrid.experiment.variant import Budget
from prunegrid.pruners import AUTHORS, PAPER, Draw, PruningSpec, Scores, select
from prunegrid.published.simulation import World, shares, simulate

BATCH, EPOCHS = 8, 3
BUDGETS = [Budget(sample_ratio=s, token_ratio=t) for s in (0.0625, 0.125, 0.25, 0.5) for t in (0.5, 0.7)]
SPECIAL = 3  # tokens of a prompt that are special: the template's


@dataclass(frozen=True)
class Trained:
    """Shares of Full Dataset's steps, sample passes, trained response tokens and learned ends; None: not simulated."""

    steps: float
    passes: float
    tokens: float | None
    ends: float


def trained_on(method: str, budget: Budget, reading: str, world: World | None = None) -> Trained:
    """What a row of `method` was trained on."""
    world = world or World(batch_size=BATCH)
    if method == "full":
        scores = simulate(world)
        ends = 0 if reading == PAPER else len(scores) / int(scores.response_tokens.sum())
        return Trained(1.0, 1.0, 1 - ends, float(reading == PAPER))
    if method == "qtuning":
        kept = shares(simulate(world), budget, reading, world.batch_size)
        return Trained(1.0, kept.samples, kept.response_tokens, kept.ends)
    sample, token = method.split("+")
    steps, passes = _copy_passes(sample, budget) if reading == AUTHORS else (1.0, budget.sample_ratio)
    within = None if reading == AUTHORS and token == "sparsevlm" else _tokens_of_kept(token, budget, reading, world)
    return Trained(steps, passes, None if within is None else passes * within, 0.0 if reading == AUTHORS else passes)


def _copy_passes(sample: str, budget: Budget) -> tuple[float, float]:
    """Steps and sample passes of a baseline as that copy does: samples are chosen from all data, then once more."""
    ratio = exact_fraction(budget.sample_ratio)
    # InfoBatch's first epoch has all samples.
    chosen = (1 + (EPOCHS - 1) * ratio) / EPOCHS if sample == "infobatch" else ratio
    return float(chosen), float(chosen * Fraction(second_cut(budget), BATCH))


def second_cut(budget: Budget) -> int:
    """How many samples that copy keeps of a mini-batch: max(1, round(r x 8)), a half to the even number."""
    return max(1, round(exact_fraction(budget.sample_ratio) * BATCH))


def _tokens_of_kept(token: str, budget: Budget, reading: str, world: World) -> float:
    """The share of the kept samples' response tokens that is trained on.

    FastV's attention is taken as uniform: each query attends to all positions before it alike, so that the earliest
    receive most. The sample pruner's preference for lengths is not in it.
    """
    if reading == PAPER:
        return budget.token_ratio
    size = second_cut(budget)
    scores = _with_columns(simulate(replace(world, batch_size=size)))
    spec = PruningSpec(
        method=f"random+{token}", options={"reading": AUTHORS}, sample_ratio=1.0, token_ratio=budget.token_ratio
    )
    kept = 0
    for start in range(0, len(scores), size):
        kept += len(select(scores.take(np.arange(start, start + size)), spec, Draw(0)).positions)
    return kept / int(scores.response_tokens.sum())


def _with_columns(scores: Scores) -> Scores:
    """With the columns that the copy's token pruners read."""
    assert scores.prompt_tokens is not None, "simulated scores have the lengths of prompts"
    candidates = np.maximum(scores.prompt_tokens - SPECIAL, 0)
    # Under uniform attention a position's rank among the candidates is its place.
    rank = np.repeat(candidates, scores.response_tokens) + ragged.positions(scores.offsets)
    return replace(
        scores,
        samples={**scores.samples, "prompt_candidates": candidates.astype(np.float64)},
        tokens={**scores.tokens, "fastv_rank": rank.astype(np.float32)},
    )
