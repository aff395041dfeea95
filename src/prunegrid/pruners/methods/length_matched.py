"""Length-matched: a random draw whose lengths are those of another pruner's selection. A control.

Many pruners keep longer or shorter responses than Random does, and so train on more or fewer tokens. This draw keeps
the lengths and gives up everything else of the other pruner: what the other gains over it is not length.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Ints
from prunegrid.pruners.arrays import Draw, Ranking, Scores
from prunegrid.pruners.method import member
from prunegrid.pruners.registry import JOINT, Pruner, sample_pruner

NAME = "length-matched"
BIN_SAMPLES = 4  # of a bin at least, on average: in a bin of one sample nothing is drawn


def _other(options: dict[str, Any]) -> tuple[Pruner, dict[str, Any]]:
    """The pruner whose lengths are met, and its complete options."""
    name, given = options["lengths_of"], options["lengths_options"] or {}
    if name == NAME or name in JOINT:
        kind = "this pruner itself" if name == NAME else "a joint pruner, which ranks no samples"
        raise PrunegridError(f"{NAME}: lengths_of", f"is {name}, {kind}", "name another sample pruner")
    return member(f"{name}+random", 0, given)


def _label(options: dict[str, Any]) -> str:
    pruner, complete = _other(options)
    return f"Random (lengths of {pruner.title(complete)})"


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    pruner, complete = _other(options)
    return pruner.sample_columns(complete)


def length_bins(lengths: Ints, bins: int) -> Ints:
    """The bin [n] of each length: quantiles of about equal size, at most `bins`; equal lengths share a bin."""
    number = max(1, min(bins, len(lengths) // BIN_SAMPLES))
    shorter = np.searchsorted(np.sort(lengths), lengths)
    return shorter * number // len(lengths)


@sample_pruner(NAME, label=_label, samples=_columns, reason="random", calls=lambda options: (_other(options),))
def length_matched(
    scores: Scores,
    draw: Draw,
    *,
    lengths_of: str = "loss",
    lengths_options: dict[str, Any] | None = None,
    bins: Annotated[int, Field(ge=1)] = 20,
) -> Ranking:
    """Keys [n]: minus the place that the other pruner gives to a sample of the same bin of lengths, drawn.

    So each bin has its places shuffled: however many samples are kept, each bin keeps as many as the other pruner
    keeps of it, and which ones is random. Weights of the other pruner are not taken over.
    """
    pruner, complete = _other({"lengths_of": lengths_of, "lengths_options": lengths_options})
    other = pruner.call(scores, draw, options=complete)
    key, count = (other.key, other.count) if isinstance(other, Ranking) else (other, None)
    bin_n = length_bins(scores.response_tokens, bins)
    ranked = np.argsort(-np.asarray(key, np.float64), kind="stable")  # as the samples are kept, ties by `sample_id`
    place = np.empty(len(scores), np.float64)
    by_place = np.argsort(bin_n[ranked], kind="stable")
    place[np.lexsort((-draw.samples(scores), bin_n))] = by_place
    return Ranking(-place, count=count)
