"""Resampling of clusters with the same draws for every row: for the audit; and sums over clusters.

`scipy.stats.bootstrap` resamples one statistic at a time. Here many rows need the *same* resamples, so that their
differences are paired too. So a resample is drawn once as weights over clusters, and applied to all rows by one matrix
product (the multinomial form of the bootstrap of Efron and Tibshirani 1993, chapter 6; whole clusters: Davison and
Hinkley 1997, section 3.8).
"""

from collections.abc import Iterator

import numpy as np

from prunegrid.core.ragged import Floats, Ints

RESAMPLES = 4000
MIN_CLUSTERS = 10  # fewer give no interval
BLOCK = 2**21  # weights at a time: 16 MiB


def cluster_weights(clusters: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """How often each cluster is in each resample [J, U], in blocks of about 16 MiB that add up to `resamples`.

    The weights depend on the number of clusters and the seed, not on the size of a block.
    """
    rng = np.random.default_rng(seed)
    probability_U = np.full(clusters, 1 / clusters)
    size = max(1, BLOCK // clusters)
    for start in range(0, resamples, size):
        yield rng.multinomial(clusters, probability_U, min(size, resamples - start)).astype(np.float64)


def cluster_sums(values_WI: Floats, cluster_I: Ints) -> Floats:
    """Sums over the items of each cluster [W, U]; clusters are numbered from 0."""
    clusters = int(cluster_I.max()) + 1
    return np.stack([np.bincount(cluster_I, values_I, clusters) for values_I in values_WI])
