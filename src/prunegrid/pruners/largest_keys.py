"""How many of a sample's tokens are among the largest of all samples, exactly, without holding the tokens in memory.

Keys are compared in float32. A histogram of their upper 16 bits tells in which of 65,536 classes the last of the
largest is, one of the lower 16 bits tells which key it is; then the keys above it are counted. Three reads of the
tokens, and memory for the samples only. Histograms of several shards could be added.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.ragged import Floats, Ints

HALF = 1 << 16
LARGEST = float(np.finfo(np.float32).max)


class KeyBlock(NamedTuple):
    """The samples `rows` [b], the keys of their tokens one after another [T], and the `offsets` [b+1] between them.

    A key of minus infinity never counts, one of infinity always does.
    """

    rows: Ints
    key: Floats
    offsets: Ints


KeyBlocks = Callable[[], Iterable[KeyBlock]]


def count_largest(blocks: KeyBlocks, samples: int, total: int) -> Ints:
    """How many tokens of each sample [n] are among the `total` largest keys, all infinite ones included.

    Of equal keys those of the smaller row are counted, whatever the order of the blocks.
    """
    histogram = np.zeros(HALF, np.int64)
    for block in blocks():
        histogram += np.bincount(_codes(block.key) >> 16, minlength=HALF)
    histogram[0] = 0  # minus infinity alone
    endless = int(_codes(np.array([np.inf]))[0])
    total = min(total, int(histogram.sum()))
    if total <= 0:
        return np.zeros(samples, np.int64)
    upper, larger = _class_of(histogram, total)
    histogram = np.zeros(HALF, np.int64)
    for block in blocks():
        codes = _codes(block.key)
        histogram += np.bincount(codes[codes >> 16 == upper] & (HALF - 1), minlength=HALF)
    lower, above = _class_of(histogram, total - larger)
    threshold = (upper << 16) + lower
    count, ties = (np.zeros(samples, np.int64) for _ in range(2))
    for block in blocks():
        codes = _codes(block.key)
        count[block.rows] = ragged.segment_sums((codes > threshold) | (codes == endless), block.offsets)
        ties[block.rows] = ragged.segment_sums((codes == threshold) & (codes != endless), block.offsets)
    spare = total - larger - above
    earlier = np.cumsum(ties) - ties
    counts: Ints = count + np.clip(spare - earlier, 0, ties)
    return counts


def _codes(key: Floats) -> NDArray[np.int64]:
    """Whole numbers in the order of the keys, as float32; 0 for minus infinity."""
    single = (np.where(np.isfinite(key), np.clip(key, -LARGEST, LARGEST), key) + 0.0).astype(np.float32)
    bits = single.view(np.uint32).astype(np.int64)
    codes = np.where(bits >> 31, (1 << 32) - 1 - bits, bits + (1 << 31))
    return np.where(single == -np.inf, 0, codes)


def _class_of(histogram: Ints, total: int) -> tuple[int, int]:
    """The class that holds the `total`-th largest, and how many are in the classes above it."""
    from_top = np.cumsum(histogram[::-1])
    place = int(np.searchsorted(from_top, total))
    return len(histogram) - 1 - place, int(from_top[place] - histogram[::-1][place])
