"""Q-Tuning (arXiv 2509.23873, Algorithm 1): prune samples by their corner of the error-uncertainty plane, and
tokens only where the corner says so.

Axes: PPL (error) and mean predictive entropy (uncertainty). Q2, high PPL and low entropy, is kept and loses
tokens; Q4, low PPL and high entropy, is kept whole; Q1 (both high) and Q3 (both low) go. What the paper
leaves open is an option here, or settled in docs/reference/pruners.md.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Choice, Draw, KeptSamples, Scores
from prunegrid.pruners.eu_budget import batch_budget, sample_budget
from prunegrid.pruners.eu_plane import divide
from prunegrid.pruners.eu_reading import AUTHORS_COPY, PAPER, Reading
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.registry import joint_pruner

# The order in which version 0.1 recorded the options.
ORDER = ("window", "surplus", "trim_order", "fill", "filled_tokens", "neighbor_lambda")


TOKEN_COLUMNS = {"random": (), "excess": ("nll", "reference_nll")}  # by `token_score`; the others read `nll` alone


def _sample_columns(options: dict[str, Any]) -> tuple[str, ...]:
    return "ppl", _entropy_column(options.get("entropy_over", "response"))


def _token_columns(options: dict[str, Any]) -> tuple[str, ...]:
    return TOKEN_COLUMNS.get(options.get("token_score", "smoothed"), ("nll",))


def _entropy_column(entropy_over: str) -> str:
    return "sequence_entropy" if entropy_over == "sequence" else "entropy"


def _rank(
    block: Scores, draw: Draw, *, window: int | None = None, neighbor_lambda: float = 0.5, reading: Reading = PAPER
) -> Floats:
    """The key [T] by which tokens of Q2 are kept: the paper's score, or one of those that its ablation puts there."""
    if reading.token_score == "random":
        return draw.tokens(block)
    if reading.token_score == "excess":
        return block.token("reference_nll") - block.token("nll")
    score = smoothed(block, neighbor_lambda, reading.edges)
    return score if reading.token_score == "reversed" else -score


@joint_pruner(
    "qtuning",
    label="Q-Tuning",
    samples=_sample_columns,
    tokens=_token_columns,
    rank=_rank,
    option_order=ORDER,
    readings={AUTHORS: AUTHORS_COPY},
)
def qtuning(
    scores: Scores,
    draw: Draw,
    sample_ratio: float,
    token_ratio: float,
    *,
    window: Annotated[int, Field(ge=1)] | None = None,
    neighbor_lambda: Annotated[float, Field(ge=0, le=1)] = 0.5,
    reading: Reading = PAPER,
) -> Choice:
    """Samples by corner (per window of `window` rows; None: all at once), tokens by smoothed perplexity."""
    ppl, entropy = scores.samples["ppl"], scores.samples[_entropy_column(reading.entropy_over)]
    window = window or len(scores)
    luck = draw.samples(scores) if "random" in (reading.trim_order, reading.fill) else None
    plane = divide(ppl, entropy, luck, window, sample_ratio, reading)
    rows = np.flatnonzero(plane.is_kept)
    if not len(rows):
        raise PrunegridError("qtuning", "Q2 and Q4 are empty and nothing fills them", "set fill: contrast")
    treated_as = plane.treated_as[rows]
    if reading.budget == "batch":
        ratios = sample_ratio, token_ratio
        tokens = batch_budget(scores, rows, treated_as == 2, window, ratios, reading.end_token)
    else:
        tokens = sample_budget(scores, rows, treated_as == 2, token_ratio)
    return Choice(
        rows=rows,
        k=tokens.k,
        rank=lambda block: _rank(block, draw, neighbor_lambda=neighbor_lambda, reading=reading),
        samples=KeptSamples(np.ones(len(rows), np.float32), plane.quadrant(rows), plane.reason(rows), treated_as),
        pool=tokens.pool,
        least=tokens.least,
        end_token=reading.end_token,
        details=plane.details() | tokens.details,
    )


def smoothed(scores: Scores, neighbor_lambda: float, edges: str) -> Floats:
    """s_i = (1 - lambda) PPL_i + lambda (PPL_{i-1} + PPL_{i+1}) [T]: the paper has no 1/2 on the neighbours.

    Beyond an end of the response the neighbour is the token's own PPL (`repeat`), 0 (`zero`), or 1 at the beginning,
    where the prompt's last position counts as certain, and 0 at the end (`prompt`). NLL is capped at 700 nats, whose
    exponential a double can still hold.
    """
    ppl = np.exp(np.minimum(scores.token("nll"), 700.0))
    first, last = scores.offsets[:-1], scores.offsets[1:] - 1
    previous, following = np.roll(ppl, 1), np.roll(ppl, -1)
    repeated = edges == "repeat"
    previous[first] = ppl[first] if repeated else float(edges == "prompt")
    following[last] = ppl[last] if repeated else 0.0
    return (1 - neighbor_lambda) * ppl + neighbor_lambda * (previous + following)
