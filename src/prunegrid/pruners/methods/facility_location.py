"""Facility location: keep samples that resemble all (a submodular choice; Wei, Iyer & Bilmes, ICML 2015).

The sum over all samples of the similarity to the most similar kept one, which is the cosine, or 0 if it is negative.
Greedy, at least 1 - 1/e of the largest possible sum, and lazy: a gain only shrinks, so a sample is the next if its
gain, computed anew, is still the largest (Minoux, 1978). Departure for many samples: each k-means block by itself, in
proportion to its size.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heapreplace

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.clusters import Count, blocks_of
from prunegrid.pruners.registry import sample_pruner
from prunegrid.pruners.vectors import HIDDEN_MEAN, Units, block_order, chunks, kept_count

HELD = 10_000  # samples of which all similarities are held: 400 MB
Similarities = NDArray[np.float32]


@sample_pruner("facility-location", label="Facility location", samples=(HIDDEN_MEAN,))
def facility_location(scores: Scores, draw: Draw, *, blocks: Count | None = None) -> Floats:
    """Keys [n]: above 0 for picked samples, the first pick's the largest; below for others, by the last known gain."""
    vectors = scores.samples[HIDDEN_MEAN]
    count = kept_count(draw, len(scores))
    return block_order(vectors, blocks_of(vectors, count, scores.sample_id, draw, blocks), count, pick)


def pick(units_BD: Units, quota: int) -> Ints:
    """All rows, the `quota` picked ones first."""
    similarities, gains = _similarities(units_BD)
    best = np.zeros(len(units_BD), np.float32)  # similarity of each sample to the most similar picked one
    heap = [(-gain, row) for row, gain in enumerate(gains.tolist())]
    heapify(heap)
    order: list[int] = []
    while len(order) < quota:
        _, row = heap[0]
        similar = similarities(row)
        gain = float(np.maximum(similar - best, 0).sum(dtype=np.float64))
        heapreplace(heap, (-gain, row))
        if heap[0][1] == row:
            heappop(heap)
            order.append(row)
            np.maximum(best, similar, out=best)
    return np.array([*order, *(row for _, row in sorted(heap))], np.int64)


def _similarities(units_BD: Units) -> tuple[Callable[[int], Similarities], Floats]:
    """A function that gives a row's similarities to all [B], and the sum [B] of each row's."""
    n = len(units_BD)
    held = np.empty((n, n) if n <= HELD else (0, 0), np.float32)
    sums = np.empty(n)
    for part in chunks(n, n):
        similarity_CB = np.maximum(units_BD[part] @ units_BD.T, 0)
        sums[part] = similarity_CB.sum(axis=1, dtype=np.float64)
        if len(held):
            held[part] = similarity_CB
    if len(held):
        return held.__getitem__, sums
    return lambda row: np.maximum(units_BD @ units_BD[row], 0), sums
