"""The tokens of kept samples, block by block."""

from collections.abc import Iterator

import numpy as np

from prunegrid.core.columns import Stretch
from prunegrid.core.ragged import Ints
from prunegrid.pruners import PruningSpec, Scores, require_tokens
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.memory import ScoresInMemory


def kept_blocks(
    folder: ScoresFolder | ScoresInMemory,
    scores: Scores,
    rows: Ints,
    spec: PruningSpec,
    stretch: Stretch | None = None,
) -> Iterator[Scores]:
    """The samples `rows` (ascending in the file) with their tokens, block by block. The values of all are checked."""
    start = 0
    for block in folder.token_blocks(scores, spec.needs, stretch):
        require_tokens(block, spec)
        first, last = np.searchsorted(rows, [start, start + len(block)])
        if first < last:
            yield block.take(rows[first:last] - start)
        start += len(block)
