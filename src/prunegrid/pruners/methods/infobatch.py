"""InfoBatch in two readings: the paper's, which ranks, and the original's, which draws and rescales."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from prunegrid.core import ragged
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Choice, Draw, KeptSamples, Scores
from prunegrid.pruners.registry import joint_pruner, sample_pruner


@sample_pruner("infobatch", label="InfoBatch", samples=("nll",))
def infobatch(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: mean negative log-likelihood of the response, nats; the paper keeps the highest."""
    return scores.samples["nll"]


@joint_pruner("infobatch-original", label="InfoBatch (original)", samples=("nll",), reason="draw")
def infobatch_original(
    scores: Scores,
    draw: Draw,
    sample_ratio: float,
    token_ratio: float,
    *,
    prune_probability: Annotated[float, Field(ge=0, lt=1)] | None = None,
    annealing: Annotated[float, Field(ge=0, le=1)] = 0.125,
) -> Choice:
    """Samples under the mean loss are dropped with a probability r, and what is left of them weighs 1 / (1 - r).

    Qin et al., InfoBatch (ICLR 2024), section 3: the expected gradient is the full data's. Nothing is dropped in
    the last share `annealing` of training. r is 1 - sample_ratio unless `prune_probability` gives it, so about
    (1 + sample_ratio) / 2 of the samples stay. The original does not prune tokens: here they are kept at random.
    """
    nll, r = scores.samples["nll"], 1 - sample_ratio if prune_probability is None else prune_probability
    low = (nll < min(nll.mean(), nll.max())) & (draw.progress < 1 - annealing)
    rows = np.flatnonzero(~low | (draw.samples(scores) >= r))
    weight = np.where(low[rows], 1 / (1 - r), 1).astype(np.float32)
    return Choice(
        rows=rows,
        k=ragged.keep_counts(token_ratio, scores.response_tokens[rows]),
        rank=draw.tokens,
        samples=replace(KeptSamples.uniform("draw", len(rows)), weight=weight),
    )
