"""SemDeDup: drop what is nearly the same as a sample that is kept (Abbas et al., 2023, arXiv 2303.09540).

k-means clusters; within each, a sample goes if its cosine to one that is farther from the centre exceeds a threshold,
so that of a group the least typical stays (their `which_to_keep: hard`). Departure: the threshold is the one that keeps
the ratio asked for, where they set it and take what it keeps. Clusters: the square root of the number of samples.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.clusters import Count, k_means
from prunegrid.pruners.duplication import default_clusters, duplication
from prunegrid.pruners.registry import sample_pruner
from prunegrid.pruners.vectors import HIDDEN_MEAN


@sample_pruner("semdedup", label="SemDeDup", samples=(HIDDEN_MEAN,))
def semdedup(scores: Scores, draw: Draw, *, clusters: Count | None = None) -> Floats:
    """Keys [n]: minus the largest cosine to one of its cluster that is farther from the centre; 1 for the first."""
    vectors = scores.samples[HIDDEN_MEAN]
    count = min(clusters or default_clusters(len(scores)), len(scores))
    return -duplication(vectors, *k_means(vectors, count, scores.sample_id, draw)).astype(float)
