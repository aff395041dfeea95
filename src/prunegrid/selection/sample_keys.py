"""The keys that sample pruners rank by, computed again for finished selections, and how alike they rank.

Spearman's correlation is that of ranks, equal keys having their mean rank. Unlike an overlap, it does not depend on the
budget: 1 is the same order of all samples, 0 no relation.
"""

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners import Draw, Needs, PruningSpec, Scores, find_pruners
from prunegrid.pruners.apply import rank_samples
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.kept_answers import KeptAnswers

BLOCK = 2**22  # samples whose ranks are multiplied at a time


class SampleKey(NamedTuple):
    """A sample pruner's key [N] and the ids that it is of, ascending."""

    sample_id: Ints
    key: Floats


def spearman(selections: Sequence[KeptAnswers]) -> tuple[Floats, dict[str, str]]:
    """The correlation [E, E] of the keys of every two selections, and why some have none, by variant.

    NaN where one has no key: a joint pruner's, or one whose scores are not there. Over the samples that all rank.
    """
    keys, reasons, known = [], dict[str, str](), dict[tuple[object, ...], SampleKey | None]()
    for selection in selections:
        identity = _identity(selection)
        try:
            if identity not in known:
                known[identity] = _read_key(selection)
        except PrunegridError as error:
            known[identity] = None
            reasons[selection.summary.variant] = str(error)
        keys.append(identity)
    present = {identity: key for identity, key in known.items() if key is not None}
    matrix, places = _correlate(list(present.values())), {identity: place for place, identity in enumerate(present)}
    correlation_EE = np.full((len(keys), len(keys)), nan)
    members = [(row, places[identity]) for row, identity in enumerate(keys) if identity in places]
    if members:
        rows, columns = (np.array(part) for part in zip(*members, strict=True))
        correlation_EE[np.ix_(rows, rows)] = matrix[np.ix_(columns, columns)]
    return correlation_EE, reasons


def _identity(selection: KeptAnswers) -> tuple[object, ...]:
    """What decides a selection's key."""
    summary = selection.summary
    pruner = find_pruners(summary.method)[0]
    options = sorted((name, repr(value)) for name, value in summary.options.items() if name in pruner.options.names)
    place = (selection.folder / (summary.scores or "")).resolve()
    return place, pruner.name, *options, summary.nominal["samples"], summary.unit, summary.seeds["cell"]


def _read_key(selection: KeptAnswers) -> SampleKey | None:
    """The key that the selection's samples were ranked by; None if it has none."""
    summary = selection.summary
    if len(find_pruners(summary.method)) == 1 or selection.answers is None or summary.scores is None:
        return None
    spec = PruningSpec(
        method=summary.method,
        options=summary.options,
        sample_ratio=summary.nominal["samples"],
        token_ratio=summary.nominal["tokens"],
        unit=summary.unit,
    )
    needs = Needs(samples=spec.needs.samples, tokens={})
    scores: Scores = (
        ScoresFolder((selection.folder / summary.scores).resolve()).read_samples(needs, spec.unit).ordered()
    )
    return SampleKey(scores.sample_id, rank_samples(scores, spec, Draw(summary.seeds["cell"])).key)


def _correlate(keys: Sequence[SampleKey]) -> Floats:
    """Spearman's correlation of every two keys; NaN for one whose values are all equal."""
    if not keys:
        return np.empty((0, 0))
    ids = keys[0].sample_id
    for key in keys[1:]:
        ids = ids if np.array_equal(ids, key.sample_id) else np.intersect1d(ids, key.sample_id, assume_unique=True)
    ranks = [_centred_ranks(key.key[np.searchsorted(key.sample_id, ids)]) for key in keys]
    products = np.zeros((len(keys), len(keys)))
    for start in range(0, len(ids), BLOCK):
        block = np.stack([rank[start : start + BLOCK] for rank in ranks])
        products += block @ block.T
    norms = np.sqrt(np.diag(products))
    with np.errstate(invalid="ignore"):
        correlation: Floats = products / np.outer(norms, norms)
    return correlation


def _centred_ranks(key: Floats) -> Floats:
    """Ranks [N], equal keys having their mean, minus the mean of all."""
    ranks: Floats = np.asarray(pd.Series(key).rank(), dtype=np.float64)
    centred: Floats = ranks - ranks.mean()
    return centred
