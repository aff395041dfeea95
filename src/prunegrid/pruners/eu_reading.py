"""How open points of Q-Tuning's paper are read: options, and the bundle that the authors' working copy amounts to."""

from typing import Annotated, Any, Literal

from pydantic import Field

from prunegrid.pruners.arrays import EndToken
from prunegrid.pruners.options import OptionGroup, added


class Reading(OptionGroup):
    """Choices where the paper is ambiguous or its authors' copy differs; docs/reference/pruners.md says what each
    value means."""

    surplus: Literal["trim", "keep"] = "trim"
    trim_order: Literal["contrast", "random"] = "contrast"
    fill: Literal["contrast", "random", "none"] = "contrast"
    filled_tokens: Literal["contrast", "prune", "keep"] = "contrast"
    edges: Literal["repeat", "zero", "prompt"] = "repeat"
    bisection_steps: Annotated[int, Field(ge=1, le=30)] = 10
    final: Literal["last", "tight", "loose"] = "last"
    upper: Annotated[float, Field(gt=0, le=0.5)] = 0.49
    entropy_over: Annotated[Literal["response", "sequence"], added("response")] = "response"
    quantile: Annotated[Literal["inverted_cdf", "linear"], added("inverted_cdf")] = "inverted_cdf"
    high_side: Annotated[Literal["inclusive", "strict"], added("inclusive")] = "inclusive"
    tolerance: Annotated[float | None, Field(ge=0, lt=1), added(None)] = None
    sample_count: Annotated[Literal["floor", "round"], added("floor")] = "floor"
    filled_tie: Annotated[Literal["keep", "prune"], added("keep")] = "keep"
    budget: Annotated[Literal["sample", "batch"], added("sample")] = "sample"
    end_token: Annotated[EndToken, added("keep")] = "keep"
    token_score: Annotated[Literal["smoothed", "reversed", "excess", "random"], added("smoothed")] = "smoothed"


PAPER = Reading()

# As the authors' working copy of September 2025 does. What it shares with the default is written out all the same.
AUTHORS_COPY: dict[str, Any] = {
    "surplus": "keep",
    "fill": "contrast",
    "filled_tokens": "contrast",
    "edges": "prompt",
    "bisection_steps": 10,
    "final": "last",
    "upper": 0.49,
    "entropy_over": "sequence",
    "quantile": "linear",
    "high_side": "strict",
    "tolerance": 0.01,
    "sample_count": "round",
    "filled_tie": "prune",
    "budget": "batch",
    "end_token": "compete",
    "token_score": "smoothed",
    "neighbor_lambda": 0.5,
}
