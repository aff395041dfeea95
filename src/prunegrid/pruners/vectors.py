"""A column of vectors [N, D], read a part at a time: it may be float16, and mapped from a file that exceeds memory.

All that compares vectors here does so by their directions: each is scaled to length 1, and one of length 0 stays so.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Draw

Vectors = NDArray[np.floating]  # [N, D]
Units = NDArray[np.float32]  # [B, D], rows of length 1 or 0
HIDDEN_MEAN = "hidden_mean"
CHUNK_VALUES = 2**25  # 128 MB of float32


def units(vectors: Vectors, rows: Ints | slice = slice(None)) -> Units:
    """The vectors `rows` in float32, each divided by its length."""
    part = np.asarray(vectors[rows], dtype=np.float32)
    length = np.sqrt(np.einsum("nd,nd->n", part, part))
    length[length == 0] = 1
    scaled: Units = part / length[:, None]
    return scaled


def chunks(n: int, values_per_row: int) -> Iterator[slice]:
    """Slices of n rows, such that about `CHUNK_VALUES` values are held at once."""
    size = max(1, CHUNK_VALUES // values_per_row)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def kept_count(draw: Draw, n: int) -> int:
    """How many of n samples a pair keeps."""
    return int(ragged.keep_counts(draw.sample_ratio, np.array([n]))[0])


def quotas(sizes: Ints, count: int) -> Ints:
    """`count` shared in proportion to `sizes`; the largest remainders are rounded up, of equal ones the first."""
    whole, remainder = np.divmod(sizes * count, sizes.sum())
    whole[np.argsort(-remainder, kind="stable")[: count - int(whole.sum())]] += 1
    shared: Ints = whole
    return shared


def block_order(vectors: Vectors, blocks: list[Ints], count: int, order: Callable[[Units, int], Ints]) -> Floats:
    """Keys [N] of a greedy choice of `count` samples, made in each block of rows by itself.

    `order(units, quota)` gives all rows of a block, the `quota` picked ones first, in the order of picking. A block's
    quota is its share. A picked sample's key is the share of its block's quota that it and later picks are: (0, 1].
    Others have keys below 0, by their place among the others of the block.
    """
    key = np.empty(len(vectors))
    shares = quotas(np.array([len(rows) for rows in blocks]), count)
    for rows, quota in zip(blocks, shares.tolist(), strict=True):
        ranked = rows[order(units(vectors, rows), quota)]
        key[ranked[:quota]] = 1 - np.arange(quota) / max(1, quota)
        key[ranked[quota:]] = -np.arange(1, len(rows) - quota + 1) / max(1, len(rows) - quota)
    return key
