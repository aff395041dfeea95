"""D4: drop near duplicates, then what is most typical of the rest (Tirumala et al., NeurIPS 2023, arXiv 2308.12284).

SemDeDup keeps the share `dedup_ratio` (theirs: 0.75), which is clustered anew; of these, the samples nearest to their
centre go ("SSL prototypes", Sorscher et al., NeurIPS 2022) until the sample ratio is met. A sample ratio above
`dedup_ratio` is SemDeDup alone.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from prunegrid.core import ragged
from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.clusters import Count, k_means
from prunegrid.pruners.duplication import default_clusters, duplication
from prunegrid.pruners.registry import sample_pruner
from prunegrid.pruners.vectors import HIDDEN_MEAN


@sample_pruner("d4", label="D4", samples=(HIDDEN_MEAN,))
def d4(
    scores: Scores,
    draw: Draw,
    *,
    clusters: Count | None = None,
    dedup_ratio: Annotated[float, Field(gt=0, le=1)] = 0.75,
) -> Floats:
    """Keys [n]: what SemDeDup drops as there; above that, the others by their distance from their new centre."""
    vectors, n = scores.samples[HIDDEN_MEAN], len(scores)
    count = min(clusters or default_clusters(n), n)
    key = -duplication(vectors, *k_means(vectors, count, scores.sample_id, draw)).astype(float)
    kept = int(ragged.keep_counts(max(dedup_ratio, draw.sample_ratio), np.array([n]))[0])
    rows = ragged.top_k(key, kept)
    count = min(clusters or default_clusters(kept), kept)
    _, cosine = k_means(vectors[rows], count, scores.sample_id[rows], draw)
    key[rows] = 3 - cosine
    return key
