"""Clusters of vectors by spherical k-means, and blocks: clusters in each of which a greedy choice is made by itself."""

import math
import warnings
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunegrid.core import randomness
from prunegrid.core.ragged import Ints
from prunegrid.pruners.arrays import Draw
from prunegrid.pruners.vectors import Units, Vectors, chunks, units

Count = Annotated[int, Field(ge=1)]
BLOCK = 1_000  # samples of a block, on average
LARGEST = 4  # times the average: a larger block is divided
EXACT_PRODUCTS = 5e10  # of numbers, about half a minute on one core
EXACT_VALUES = 2**28  # 1 GiB in float32
FITTED = 256  # samples a cluster that centres are fitted to, at most
FITTED_VALUES = 2**28


def k_means(vectors: Vectors, count: int, sample_id: Ints, draw: Draw) -> tuple[Ints, NDArray[np.float32]]:
    """The cluster [N] of each vector, of `count` at most, and its cosine to that cluster's centre [N].

    scikit-learn's mini-batch k-means finds centres of at most `FITTED` samples a cluster, which a draw of the seed
    picks. The mean of what is nearest to each of these is its centre at last. All vectors and centres are scaled to
    length 1; a vector belongs to the centre of largest cosine, of equal ones the first.
    """
    centres = (
        _fitted_centres(vectors, count, sample_id, draw) if count > 1 else np.zeros((1, vectors.shape[1]), np.float32)
    )
    sums = np.zeros(centres.shape)
    for part, label, _ in _assigned(vectors, centres):
        order = np.argsort(label, kind="stable")
        first = np.flatnonzero(np.diff(label[order], prepend=-1))
        sums[label[order][first]] += np.add.reduceat(units(vectors, part)[order], first)
    centres = units(np.where(sums.any(axis=1, keepdims=True), sums, centres))
    cluster, cosine = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
    for part, label, largest in _assigned(vectors, centres):
        cluster[part], cosine[part] = label, largest
    return cluster, cosine


def _fitted_centres(vectors: Vectors, count: int, sample_id: Ints, draw: Draw) -> Units:
    from sklearn.cluster import MiniBatchKMeans

    most = max(count, min(len(vectors), FITTED * count, FITTED_VALUES // vectors.shape[1]))
    drawn = randomness.uniform(draw.seed, "clusters", sample_id)
    rows = np.sort(np.argsort(drawn, kind="stable")[:most])
    model = MiniBatchKMeans(count, n_init=1, batch_size=4096, max_iter=20, random_state=draw.seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that fewer vectors differ than there are clusters: some stay empty
        model.fit(units(vectors, rows))
    return units(model.cluster_centers_)


def _assigned(vectors: Vectors, centres: Units) -> Iterator[tuple[slice, Ints, NDArray[np.float32]]]:
    """For each part of the rows the centre [B] of largest cosine to each, and that cosine [B]."""
    for part in chunks(len(vectors), vectors.shape[1] + len(centres)):
        cosine_BK = units(vectors, part) @ centres.T
        yield part, cosine_BK.argmax(axis=1), cosine_BK.max(axis=1)


def members(label: Ints) -> list[Ints]:
    """The rows of each cluster that has some, ascending, in order of the clusters."""
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def blocks_of(vectors: Vectors, kept: int, sample_id: Ints, draw: Draw, blocks: int | None) -> list[Ints]:
    """The rows of each block: one block of all if `blocks` is 1; None: as many as the size of the task asks for."""
    n, width = vectors.shape
    if blocks is None:
        is_small = n * kept * width <= EXACT_PRODUCTS and n * width <= EXACT_VALUES
        blocks = 1 if is_small else math.ceil(n / BLOCK)
    blocks = min(blocks, kept)
    if blocks == 1:
        return [np.arange(n)]
    label, _ = k_means(vectors, blocks, sample_id, draw)
    largest = LARGEST * math.ceil(n / blocks)
    return [part for rows in members(label) for part in _divide(rows, largest)]


def _divide(rows: Ints, largest: int) -> list[Ints]:
    """The rows in parts of nearly equal size, none above `largest`, each of rows from all over."""
    parts = math.ceil(len(rows) / largest)
    return [rows[start::parts] for start in range(parts)]
