"""The effects of many paired comparisons on one benchmark, from the cells' item files."""

from collections.abc import Collection, Iterator
from pathlib import Path

from prunegrid.experiment.grid import Cell
from prunegrid.statistics.draws import draw_se
from prunegrid.statistics.inference import Effect, item_effect
from prunegrid.statistics.paired_items import pair_items

Pairs = tuple[tuple[Cell, Cell], ...]
"""One comparison: (variant's cell, baseline's cell) of each seed."""


def paired_effects(root: Path, benchmark: str, sets: Collection[Pairs]) -> Iterator[tuple[Pairs, Effect]]:
    """The effect of each set of pairs; files are read once per model."""
    for model in sorted({pairs[0][0].model for pairs in sets}):
        model_sets = [pairs for pairs in sets if pairs[0][0].model == model]
        cells = sorted({cell for pairs in model_sets for pair in pairs for cell in pair}, key=lambda cell: cell.path)
        paired = pair_items(root, cells, benchmark)
        indices = {cell: index for index, cell in enumerate(cells)}
        for pairs in model_sets:
            variant, baseline = ([indices[cell] for cell in side] for side in zip(*pairs, strict=True))
            drawn = draw_se(*([paired.deviations[index] for index in side] for side in (variant, baseline)))
            diffs_SI = paired.values_EI[variant] - paired.values_EI[baseline]
            yield pairs, item_effect(diffs_SI, paired.cluster_I, drawn)
