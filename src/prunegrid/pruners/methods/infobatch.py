"""InfoBatch in three readings: the paper's, which ranks, the authors' copy's, which also draws and cuts, and the
original's, which draws and rescales."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from prunegrid.core import ragged
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Choice, Draw, KeptSamples, Ranking, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.options import added
from prunegrid.pruners.registry import joint_pruner, sample_pruner


@sample_pruner(
    "infobatch",
    label=lambda options: "InfoBatch (cut)" if options.get("infobatch") == "epochs" else "Top loss",
    published="InfoBatch",
    samples=lambda options: ("epoch_loss" if options.get("infobatch") == "epochs" else "nll",),
    readings={AUTHORS: {"infobatch": "epochs"}},
)
def infobatch(
    scores: Scores,
    draw: Draw,
    *,
    infobatch: Annotated[Literal["highest", "epochs"], added("highest")] = "highest",
) -> Floats | Ranking:
    """Keys [n]: mean negative log-likelihood of the response, nats; the paper keeps the highest.

    `epochs` is for training that prunes once an epoch: see `_by_epoch`.
    """
    return scores.samples["nll"] if infobatch == "highest" else _by_epoch(scores.samples["epoch_loss"], scores, draw)


def _by_epoch(loss: Floats, scores: Scores, draw: Draw) -> Ranking:
    """The first epoch has all samples. Later ones have the first floor(r n) of a list: samples whose loss of the epoch
    before is the mean or more, in the order of the data, and then r of the others, drawn, of weight 1 / r.

    As the authors' working copy of September 2025 (Q-tuning/Q-tuning, dd6eba5, data/infobatch.py, `prune`). The list is
    never shorter than the cut, so that the order alone decides.
    """
    if draw.epoch == 0:
        return Ranking(np.zeros(len(scores)), count=len(scores))
    is_high = loss >= min(loss.mean(), loss.max())
    key = np.where(is_high, 2.0 - np.arange(len(scores)) / len(scores), draw.samples(scores))
    return Ranking(key, weight=np.where(is_high, 1.0, 1 / draw.sample_ratio))


@joint_pruner(
    "infobatch-original",
    label="InfoBatch (original)",
    samples=("nll",),
    reason="draw",
    rank=lambda block, draw, **options: draw.tokens(block),
)
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
