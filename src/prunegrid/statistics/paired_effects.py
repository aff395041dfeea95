"""The effects of many paired comparisons on one benchmark, from the cells' item files."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.experiment.grid import Cell
from prunegrid.statistics.bootstrap import cluster_sums, resampled_means
from prunegrid.statistics.inference import Effect, estimate_effect
from prunegrid.statistics.paired_items import PairedItems, pair_items

Pairs = tuple[tuple[Cell, Cell], ...]
"""One comparison: (variant's cell, baseline's cell) of each seed."""


def paired_effects(
    root: Path, benchmark: str, sets: Collection[Pairs], resamples: int, seed: int
) -> Iterator[tuple[Pairs, Effect]]:
    """The effect of each set of pairs: files are read once per model, resamples drawn once per number of clusters."""
    differences: list[_Difference] = []
    for model in sorted({pairs[0][0].model for pairs in sets}):
        model_sets = [pairs for pairs in sets if pairs[0][0].model == model]
        cells = sorted({cell for pairs in model_sets for pair in pairs for cell in pair}, key=lambda cell: cell.path)
        differences += _differences(pair_items(root, cells, benchmark), cells, model_sets)
    for clusters in sorted({difference.sums_U.size for difference in differences}):
        rows = [difference for difference in differences if difference.sums_U.size == clusters]
        sums_WU, sizes_WU = (np.stack([getattr(row, name) for row in rows]) for name in ("sums_U", "sizes_U"))
        draws_WJ = 100 * resampled_means(sums_WU, sizes_WU, resamples, seed)
        for row, draws_J in zip(rows, draws_WJ, strict=True):
            items, differing = int(row.sizes_U.sum()), int(np.count_nonzero(row.sums_U))
            yield row.pairs, estimate_effect(100 * row.means_S, draws_J, items, clusters, differing)


@dataclass(frozen=True)
class _Difference:
    """Variant minus baseline: the mean of each seed; of each cluster, the sum of the mean over seeds, and its items."""

    pairs: Pairs
    means_S: Floats
    sums_U: Floats
    sizes_U: Floats


def _differences(paired: PairedItems, cells: Sequence[Cell], sets: Iterable[Pairs]) -> Iterator[_Difference]:
    indices = {cell: index for index, cell in enumerate(cells)}
    (sizes_U,) = cluster_sums(np.ones((1, len(paired.cluster_I))), paired.cluster_I)
    for pairs in sets:
        variant, baseline = ([indices[cell] for cell in side] for side in zip(*pairs, strict=True))
        diffs_SI = paired.values_EI[variant] - paired.values_EI[baseline]
        (sums_U,) = cluster_sums(diffs_SI.mean(axis=0, keepdims=True), paired.cluster_I)
        yield _Difference(pairs, diffs_SI.mean(axis=1), sums_U, sizes_U)
