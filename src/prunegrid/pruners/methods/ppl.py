"""PPL: drop the response tokens of highest perplexity (a baseline of the paper).

`ppl: highest` keeps them, as the authors' working copy of September 2025 does (Q-tuning/Q-tuning, dd6eba5,
train/sft/trainer.py, `compute_loss`). There the prompt's tokens compete, with a loss of 0, and so go first.
"""

from typing import Annotated, Literal

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import AUTHORS
from prunegrid.pruners.options import added
from prunegrid.pruners.registry import token_pruner
from prunegrid.pruners.token_rules import AUTHORS_RULES, prompt_loss


@token_pruner(
    "ppl",
    label=lambda options: "PPL (highest kept)" if options.get("ppl") == "highest" else "PPL",
    figure_row=2,
    tokens=("nll",),
    prompt_keys=lambda options: prompt_loss,
    readings={AUTHORS: {"ppl": "highest", **AUTHORS_RULES}},
)
def ppl(
    scores: Scores, draw: Draw, *, ppl: Annotated[Literal["lowest", "highest"], added("lowest")] = "lowest"
) -> Floats:
    """Keys [T]: minus or plus NLL. PPL_i = exp(NLL_i) is monotone, so the exponential is not taken."""
    nll = scores.token("nll")
    return -nll if ppl == "lowest" else nll
