"""How much of a duplicate each sample is, within its cluster: what SemDeDup drops by, and D4 first."""

import math

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Ints
from prunegrid.pruners.clusters import members
from prunegrid.pruners.vectors import Units, Vectors, chunks, units


def default_clusters(n: int) -> int:
    """The square root of n, as D4 has it."""
    return max(1, round(math.sqrt(n)))


def duplication(vectors: Vectors, label: Ints, centrality: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest cosine [N] of each sample to one before it in its cluster, the least central first; -1 for those.

    A sample is before others of the same `centrality`, its cosine to the centre, if its row is.
    """
    largest = np.full(len(vectors), -1, np.float32)
    for rows in members(label):
        order = rows[np.argsort(centrality[rows], kind="stable")]
        largest[order] = _largest_before(units(vectors, order))
    return largest


def _largest_before(units_BD: Units) -> NDArray[np.float32]:
    """The largest cosine [B] of each row to a row before it; -1 for the first."""
    largest = np.full(len(units_BD), -1, np.float32)
    for part in chunks(len(units_BD), len(units_BD)):
        cosine_CB = units_BD[part] @ units_BD[: part.stop].T
        later = np.arange(part.stop) >= np.arange(part.start, part.stop)[:, None]
        cosine_CB[later] = -1
        largest[part] = cosine_CB.max(axis=1)
    return largest
