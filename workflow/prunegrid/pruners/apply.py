"""Apply a method to scores: the one function behind static pruning and the pruning of a mini-batch."""

from typing import Any

import numpy as np

from prunegrid.errors import PrunegridError
from prunegrid.pruners import ragged
from prunegrid.pruners.arrays import Draw, Scores, Selection, keep_tokens, selection
from prunegrid.pruners.method import filled, members
from prunegrid.pruners.registry import Pruner


def select(
    scores: Scores,
    method: str,
    options: dict[str, Any],
    sample_ratio: float,
    token_ratio: float,
    seed: int,
    *,
    epoch: int = 0,
    step: int = 0,
) -> Selection:
    """What `method` keeps of `scores`; `seed` is the pruning seed. Pure, whatever the order of the rows."""
    options = filled(method, options)
    check_ratio("sample_ratio", sample_ratio)
    check_ratio("token_ratio", token_ratio)
    if not len(scores):
        raise PrunegridError("there are no samples to prune; the scores are empty")
    scores, draw, pruners = scores.ordered(), Draw(seed, epoch, step), members(method)
    for pruner in pruners:
        scores.require(pruner.samples, pruner.tokens, pruner.name)
    if len(pruners) == 1:
        chosen: Selection = pruners[0].function(scores, draw, sample_ratio, token_ratio, **options)
        return chosen
    return _pair(scores, draw, pruners[0], pruners[1], options, sample_ratio, token_ratio)


def _pair(
    scores: Scores,
    draw: Draw,
    first: Pruner,
    second: Pruner,
    options: dict[str, Any],
    sample_ratio: float,
    token_ratio: float,
) -> Selection:
    """Rank the samples, then the tokens of those kept."""
    key_n = first.function(scores, draw, **_own(first, options))
    whole = np.array([0, len(scores)])
    kept = ragged.top(key_n, whole, ragged.counts(sample_ratio, whole[1:]))
    scores = scores.take(np.flatnonzero(kept))
    key_T = second.function(scores, draw, **_own(second, options))
    tokens = keep_tokens(scores, key_T, ragged.counts(token_ratio, scores.response_tokens))
    return selection(scores, tokens, np.full(len(scores), first.reason))


def _own(pruner: Pruner, options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in pruner.known}


def check_ratio(name: str, value: float) -> None:
    if not (0 < value <= 1):
        raise PrunegridError(f"{name} is {value}; give a fraction in (0, 1]")
