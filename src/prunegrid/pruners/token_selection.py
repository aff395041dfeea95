"""The tokens of the samples that a `Choice` keeps: ranked block by block, within each sample or within a pool."""

from collections.abc import Iterator

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.ragged import Bools
from prunegrid.pruners.arrays import Choice, Scores, SelectionArrays
from prunegrid.pruners.candidates import Candidates
from prunegrid.pruners.pools import Blocks, without_pools


def select_tokens(choice: Choice, blocks: Blocks) -> Iterator[SelectionArrays]:
    """The selection of each of `blocks()`: the kept samples with their tokens, in the order of `choice`."""
    choice = without_pools(choice, blocks)
    start = 0
    for block in blocks():
        part = slice(start, start + len(block))
        start = part.stop
        candidates = Candidates.of(block, choice)
        k = np.minimum(np.maximum(choice.k[part], candidates.forced), candidates.available)
        marks = ragged.segment_top_k(candidates.key, candidates.offsets, k)
        yield _selection(block, candidates, marks, choice, part)
    assert start == len(choice), f"the blocks hold {start} of the {len(choice)} kept samples"


def _selection(block: Scores, candidates: Candidates, marks: Bools, choice: Choice, part: slice) -> SelectionArrays:
    samples, is_response, prompt_kept = choice.samples.take(part), candidates.is_response, None
    if is_response is not None:
        prompt_kept = ragged.segment_sums(marks & ~is_response, candidates.offsets)
        marks = marks[is_response]
    return SelectionArrays(
        sample_id=block.sample_id,
        weight=samples.weight,
        offsets=ragged.offsets_from_lengths(marks)[block.offsets],
        positions=ragged.positions(block.offsets)[marks].astype(np.int32),
        quadrant=samples.quadrant,
        reason=samples.reason,
        treated_as=samples.treated_as,
        details=choice.details,
        turns=block.answers,
        prompt_kept=prompt_kept,
    )
