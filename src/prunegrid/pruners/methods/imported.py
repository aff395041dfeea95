"""Imported: rank samples or tokens by scores that something else made, from a column of that name beside the scores.

The experiment's section `scores`, or `prunegrid extra NAME --from FILE`, imports them: judges' ratings (AlpaGasus,
DS2), trained scorers (Deita), influence (LESS), anything with a number for each sample or each response token.
"""

from collections.abc import Mapping
from typing import Any, Literal

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.method import find_pruners
from prunegrid.pruners.registry import sample_pruner, token_pruner

NAME = "imported"


@sample_pruner(
    NAME,
    label=lambda options: f"{options['sample_scores']}, {options['sample_direction']}",
    samples=lambda options: (options["sample_scores"],),
)
def imported_samples(
    scores: Scores,
    draw: Draw,
    *,
    sample_scores: str = "quality",
    sample_direction: Literal["highest", "lowest"] = "highest",
) -> Floats:
    """Keys [n]: plus or minus the column `sample_scores`."""
    column: Floats = scores.samples[sample_scores]
    return column if sample_direction == "highest" else -column


@token_pruner(
    NAME,
    label=lambda options: f"{options['token_scores']}, {options['token_direction']}",
    tokens=lambda options: (options["token_scores"],),
)
def imported_tokens(
    scores: Scores,
    draw: Draw,
    *,
    token_scores: str = "quality",
    token_direction: Literal["highest", "lowest"] = "highest",
) -> Floats:
    """Keys [T]: plus or minus the column `token_scores`."""
    column = scores.token(token_scores)
    return column if token_direction == "highest" else -column


def check_directions(method: str, options: Mapping[str, Any], directions: Mapping[str, str]) -> None:
    """Refuse a method that keeps the highest scores of a column whose `directions` say lowest, and does not say so.

    `options` are those that were given, without defaults.
    """
    for pruner, kind in zip(find_pruners(method), ("sample", "token"), strict=False):
        if pruner.name != NAME or f"{kind}_direction" in options:
            continue
        column = pruner.options.complete(dict(options), method)[f"{kind}_scores"]
        if directions.get(column) == "lowest":
            problem = f"is not given, but lower scores of {column} are better"
            fix = f"give {kind}_direction: lowest, or highest if you mean the other end"
            raise PrunegridError(f"{method}: {kind}_direction", problem, fix)
