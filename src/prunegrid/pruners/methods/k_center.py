"""k-Center: keep samples that leave none far from a kept one (Sener & Savarese, Active Learning for CNNs, ICLR 2018).

Their greedy choice: the next centre is the sample farthest from all centres; at most twice the smallest possible
radius. Distances are Euclidean between unit vectors, so that they rank as cosines do. The first centre is the sample
nearest to the mean, where theirs come from the labelled pool. Departure for many samples: only centres of a sample's
own block count, the blocks being k-means clusters. The next centre is the farthest of all blocks all the same.
"""

from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.clusters import Count, blocks_of
from prunegrid.pruners.registry import sample_pruner
from prunegrid.pruners.vectors import HIDDEN_MEAN, Units, Vectors, kept_count, units

FIRST = 3.0  # key of a block's first centre; half a squared distance is 2 at most
ROUNDING = 1e-6  # below it, vectors are the same
BURST = 64  # centres that a block gets at least, once its vectors are read


@sample_pruner("k-center", label="k-Center", samples=(HIDDEN_MEAN,))
def k_center(scores: Scores, draw: Draw, *, blocks: Count | None = None) -> Floats:
    """Keys [n]: half the squared distance to the nearest of the centres before it; of one not picked, of all."""
    vectors = scores.samples[HIDDEN_MEAN]
    count = kept_count(draw, len(scores))
    return farthest_first(vectors, blocks_of(vectors, count, scores.sample_id, draw, blocks), count)


def farthest_first(vectors: Vectors, blocks: list[Ints], count: int) -> Floats:
    """As `k_center`: pick until `count` picks were at least as far as all that is not picked."""
    picked_N, gap_N = np.full(len(vectors), -1.0), np.full(len(vectors), np.inf)
    heap = [(-np.inf, block) for block in range(len(blocks))]
    heapify(heap)
    picks = 0
    while heap and (picks < count or -heap[0][0] > np.partition(picked_N, -count)[-count]):
        _, block = heappop(heap)
        rows = blocks[block]
        least, radius = BURST if len(blocks) > 1 else count, -heap[0][0] if heap else np.inf
        picked, gap = picked_N[rows], gap_N[rows]
        picks += _pick(units(vectors, rows), picked, gap, least, radius)
        picked_N[rows], gap_N[rows] = picked, gap
        if (farthest := float(gap.max())) > 0:
            heappush(heap, (-farthest, block))
    return np.where(picked_N >= 0, picked_N, gap_N)


def _pick(units_BD: Units, picked: Floats, gap: Floats, least: int, radius: float) -> int:
    """Pick at least `least` samples of a block, and on while one is farther than `radius`; all gaps 0: stop."""
    half_square = np.einsum("bd,bd->b", units_BD, units_BD) / 2
    picks = 0
    while picks < least or gap.max() > radius:
        if np.isinf(gap[0]):
            centre, picked_gap = _central(units_BD), FIRST
        else:
            centre = int(gap.argmax())
            picked_gap = float(gap[centre])
        if picked_gap == 0:
            break
        picked[centre], picks = picked_gap, picks + 1
        gaps = half_square + half_square[centre] - units_BD @ units_BD[centre]
        gaps[gaps < ROUNDING] = 0
        np.minimum(gap, gaps, out=gap)
        gap[centre] = 0
    return picks


def _central(units_BD: Units) -> int:
    """The row nearest to the mean."""
    gaps: NDArray[np.float64] = units_BD - units_BD.mean(axis=0, dtype=np.float64)
    return int(np.einsum("bd,bd->b", gaps, gaps).argmin())
