"""The tokens of kept samples, block by block."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from prunegrid.core.columns import Stretch
from prunegrid.core.ragged import Ints
from prunegrid.pruners import Choice, Needs, PruningSpec, Scores, require_tokens
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.memory import ScoresInMemory


def kept_blocks(
    folder: ScoresFolder | ScoresInMemory,
    scores: Scores,
    rows: Ints,
    spec: PruningSpec,
    stretch: Stretch | None = None,
    columns: Mapping[str, str] | None = None,
) -> Iterator[Scores]:
    """The samples `rows` (ascending in the file) with their tokens, block by block. The values of all are checked.

    `columns` are token columns beyond those that the pruners of `spec` need, each with who reads it.
    """
    start, needs = 0, Needs(samples={}, tokens={**spec.needs.tokens, **(columns or {})})
    for block in folder.token_blocks(scores, needs, stretch):
        require_tokens(block, spec)
        first, last = np.searchsorted(rows, [start, start + len(block)])
        if first < last:
            yield block.take(rows[first:last] - start)
        start += len(block)


def in_file_order(choice: Choice, scores: Scores) -> Choice:
    """The choice, whose rows are in order of `sample_id`, with rows of `scores`, ascending."""
    if scores.is_ordered:
        return choice
    rows = np.argsort(scores.sample_id, kind="stable")[choice.rows]
    by_file = np.argsort(rows, kind="stable")
    return replace(choice.take(by_file), rows=rows[by_file])
