"""How many of a sample's tokens are among the largest of all samples, exactly, without holding the tokens in memory.

Keys are compared in float32. A histogram of their upper 16 bits tells in which of 65,536 classes the last of the
largest is; a second read of the tokens counts those of higher classes and holds the lower 16 bits of those in this
class, of which there are few: 2 bytes each, for all tokens only if all keys are about the same.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.ragged import Ints

HALF = 1 << 16
LARGEST = float(np.finfo(np.float32).max)
MINUS_INFINITY, INFINITY = 0x007F, 0xFF80  # their classes, in which nothing else is


class KeyBlock(NamedTuple):
    """The samples `rows` [b], the keys of their tokens one after another [T], and the `offsets` [b+1] between them.

    A key of minus infinity never counts, one of infinity always does.
    """

    rows: Ints
    sample_id: Ints
    key: NDArray[np.floating[Any]]
    offsets: Ints


KeyBlocks = Callable[[], Iterable[KeyBlock]]


def count_largest(blocks: KeyBlocks, samples: int, total: int) -> Ints:
    """How many tokens of each sample [n] are among the `total` largest keys, and among the infinite ones, if more.

    Of equal keys those of the smaller `sample_id` are counted, whatever the order of the blocks.
    """
    histogram = np.zeros(HALF, np.int64)
    for block in blocks():
        histogram += np.bincount(_codes(block.key) >> 16, minlength=HALF)
    histogram[MINUS_INFINITY] = 0
    total = min(max(total, int(histogram[INFINITY])), int(histogram.sum()))
    if total <= 0:
        return np.zeros(samples, np.int64)
    upper, larger = _class_of(histogram, total)
    count, ties, ids = (np.zeros(samples, np.int64) for _ in range(3))
    histogram = np.zeros(HALF, np.int64)
    held: list[tuple[Ints, NDArray[np.uint16], Ints]] = []
    for block in blocks():
        codes = _codes(block.key)
        classes = codes >> 16
        ids[block.rows], count[block.rows] = block.sample_id, ragged.segment_sums(classes > upper, block.offsets)
        members = np.flatnonzero(classes == upper)
        held.append((block.rows, codes[members].astype(np.uint16), np.searchsorted(members, block.offsets)))
        histogram += np.bincount(held[-1][1], minlength=HALF)
    lower, above = _class_of(histogram, total - larger)
    for rows, code, offsets in held:
        count[rows] += ragged.segment_sums(code > lower, offsets)
        ties[rows] = ragged.segment_sums(code == lower, offsets)
    order = np.argsort(ids, kind="stable")
    earlier = np.empty(samples, np.int64)
    earlier[order] = np.cumsum(ties[order]) - ties[order]
    counts: Ints = count + np.clip(total - larger - above - earlier, 0, ties)
    return counts


def _codes(key: NDArray[np.floating[Any]]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the keys, as float32: those of infinities are a class of their own each."""
    single = np.clip(key, -LARGEST, LARGEST).astype(np.float32)
    single += np.float32(0)  # there is no minus zero
    single[np.isinf(key)] = key[np.isinf(key)]
    bits = single.view(np.uint32)
    # Negative numbers have the first bit, and their order is the other way round.
    codes: NDArray[np.uint32] = bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    return codes


def _class_of(histogram: Ints, total: int) -> tuple[int, int]:
    """The class that holds the `total`-th largest, and how many are in the classes above it."""
    from_top = np.cumsum(histogram[::-1])
    place = int(np.searchsorted(from_top, total))
    return len(histogram) - 1 - place, int(from_top[place] - histogram[::-1][place])
