"""Resampling of clusters of items with the same draws for every row: what the audit and the deltas share.

`scipy.stats.bootstrap` resamples one statistic at a time. Here many rows (the contrasts of a table) need the *same*
resamples, so that their differences are paired too, and an average needs those of several data sets side by side.
So a resample is drawn once as weights over clusters, and applied to all rows by one matrix product (the multinomial
form of the bootstrap of Efron and Tibshirani 1993, chapter 6; whole clusters: Davison and Hinkley 1997, section 3.8).
"""

from collections.abc import Iterator

import numpy as np

from prunegrid.core.ragged import Floats, Ints

RESAMPLES = 4000
MIN_CLUSTERS = 10
BLOCK = 2**21


def cluster_weights(clusters: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """How often each cluster is in a resample of as many [b, C], in blocks of about 16 MiB that make up all of them.

    They depend on the number of clusters and the seed, not on the size of a block.
    """
    rng = np.random.default_rng(seed)
    alike = np.full(clusters, 1 / clusters)
    rows = max(1, BLOCK // clusters)
    for start in range(0, resamples, rows):
        yield rng.multinomial(clusters, alike, min(rows, resamples - start)).astype(np.float64)


def cluster_sums(values_RI: Floats, cluster_I: Ints) -> Floats:
    """Sums over the items of each cluster [R, C]; clusters are numbered from 0."""
    number = int(cluster_I.max()) + 1
    return np.stack([np.bincount(cluster_I, values_I, number) for values_I in values_RI])


def resampled_means(sums_RC: Floats, sizes_RC: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Each row's mean over items in every resample [R, B], given its clusters' sums and numbers of items."""
    blocks = [
        (sums_RC @ part_bC.T) / (sizes_RC @ part_bC.T) for part_bC in cluster_weights(sums_RC.shape[1], resamples, seed)
    ]
    return np.concatenate(blocks, axis=1)
