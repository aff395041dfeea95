"""Diverse: any score, but nothing that resembles what is kept (the "repr filter" of Deita: Liu et al., ICLR 2024).

Samples are taken in the order of `score`, a sample pruner (under `score_options`) or a column, highest first. One whose
cosine to a sample taken before exceeds `threshold` is skipped. Skipped samples come last, so that the count is met
where their filter keeps fewer; `selection.json` says how many were skipped, and how many of them are kept all the
same. Departure for many samples: only samples of the same k-means block are compared.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners.arrays import Draw, Ranking, Scores
from prunegrid.pruners.clusters import Count, blocks_of
from prunegrid.pruners.method import member
from prunegrid.pruners.plugins import load_installed
from prunegrid.pruners.registry import SAMPLE, Pruner, sample_pruner
from prunegrid.pruners.vectors import HIDDEN_MEAN, Units, kept_count, units

NAME = "diverse"
CHUNK = 256  # samples that are compared with all taken ones at once
Cosine = Annotated[float, Field(ge=-1, le=1)]


def _scorer(options: dict[str, Any]) -> tuple[Pruner | None, dict[str, Any]]:
    """The pruner that `score` names with its complete options; None if it names a column."""
    name, given = options["score"], options["score_options"] or {}
    if name == NAME:
        raise PrunegridError(f"{NAME}: score", f"is {NAME} itself", "name another sample pruner, or a column")
    load_installed()
    if ":" in name or name in SAMPLE:
        return member(f"{name}+random", 0, given)
    if given:
        problem = f"{name} is a column and has no option {next(iter(given))!r}"
        raise PrunegridError(f"{NAME}: score_options", problem, "leave score_options out")
    return None, {}


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    pruner, inner = _scorer(options)
    read = pruner.sample_columns(inner) if pruner else (options["score"],)
    return tuple(dict.fromkeys((HIDDEN_MEAN, *read)))


def _calls(options: dict[str, Any]) -> tuple[tuple[Pruner, dict[str, Any]], ...]:
    pruner, inner = _scorer(options)
    return ((pruner, inner),) if pruner else ()


def _label(options: dict[str, Any]) -> str:
    pruner, inner = _scorer(options)
    return f"Diverse ({pruner.title(inner) if pruner else options['score']})"


@sample_pruner(NAME, label=_label, samples=_columns, calls=_calls)
def diverse(
    scores: Scores,
    draw: Draw,
    *,
    score: str = "loss",
    score_options: dict[str, Any] | None = None,
    threshold: Cosine = 0.9,
    blocks: Count | None = None,
) -> Ranking:
    """Keys [n]: minus the place in the order of `score`, less n for what is skipped."""
    n, count, vectors = len(scores), kept_count(draw, len(scores)), scores.samples[HIDDEN_MEAN]
    order = np.argsort(-_score(scores, draw, score, score_options), kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    parts = blocks_of(vectors, count, scores.sample_id, draw, blocks)
    is_skipped = np.zeros(n, np.bool_)
    for rows in parts:
        ranked = rows[np.argsort(place[rows])]
        is_skipped[ranked] = skipped(units(vectors, ranked), threshold, count)
    key = -(place + n * is_skipped).astype(np.float64)
    return Ranking(key, details={NAME: _counts(is_skipped[order], count)})


def _score(scores: Scores, draw: Draw, score: str, score_options: dict[str, Any] | None) -> Floats:
    pruner, options = _scorer({"score": score, "score_options": score_options})
    if pruner is None:
        return scores.samples[score]
    returned = pruner.call(scores, draw, options=options)
    key: Floats = np.asarray(returned.key if isinstance(returned, Ranking) else returned)
    return key


def skipped(units_BD: Units, threshold: float, most: int) -> Bools:
    """Mark [B] the samples that resemble one taken before; once `most` are taken, no more is looked at."""
    marks, taken = np.zeros(len(units_BD), np.bool_), np.empty_like(units_BD)
    size = 0
    for start in range(0, len(units_BD), CHUNK):
        part = units_BD[start : start + CHUNK]
        alike_C: Bools = np.any(part @ taken[:size].T > threshold, axis=1)
        alike_CC = part @ part.T > threshold
        for row in range(len(part)):
            if size == most:
                return marks
            if alike_C[row]:
                marks[start + row] = True
                continue
            taken[size], size = part[row], size + 1
            alike_C |= alike_CC[row]
    return marks


def _counts(skipped_in_order: Ints | Bools, count: int) -> dict[str, int]:
    """How many were skipped until `count` were taken, and how many of them are kept since too few were."""
    taken = np.flatnonzero(~skipped_in_order)
    end = taken[count - 1] if len(taken) >= count else len(skipped_in_order)
    return {"skipped": int(skipped_in_order[:end].sum()), "kept_all_the_same": max(0, count - len(taken))}
