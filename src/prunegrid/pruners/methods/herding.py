"""Herding: keep samples whose mean stays nearest to the mean of all (Welling, Herding Dynamical Weights, ICML 2009).

The next sample has the largest product with w, which starts as the mean of all and to which mean minus sample is added
at each pick: of vectors of one length, the pick that brings the mean of the picked ones nearest to that of all. A
sample is picked once. Departure for many samples: each k-means block by itself, in proportion to its size.
"""

import numpy as np

from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.clusters import Count, blocks_of
from prunegrid.pruners.registry import sample_pruner
from prunegrid.pruners.vectors import HIDDEN_MEAN, Units, block_order, kept_count


@sample_pruner("herding", label="Herding", samples=(HIDDEN_MEAN,))
def herding(scores: Scores, draw: Draw, *, blocks: Count | None = None) -> Floats:
    """Keys [n]: above 0 for picked samples, the first pick's the largest; below for others, by their product with w."""
    vectors = scores.samples[HIDDEN_MEAN]
    count = kept_count(draw, len(scores))
    return block_order(vectors, blocks_of(vectors, count, scores.sample_id, draw, blocks), count, pick)


def pick(units_BD: Units, quota: int) -> Ints:
    """All rows, the `quota` picked ones first."""
    mean = units_BD.mean(axis=0, dtype=np.float64)
    w, is_free, order = mean.copy(), np.ones(len(units_BD), np.bool_), np.empty(len(units_BD), np.int64)
    for place in range(quota):
        product = np.where(is_free, units_BD @ w.astype(np.float32), -np.inf)
        row = int(product.argmax())
        order[place], is_free[row] = row, False
        w += mean - units_BD[row]
    others = np.flatnonzero(is_free)
    order[quota:] = others[np.argsort(-(units_BD[others] @ w.astype(np.float32)), kind="stable")]
    return order
