"""Pools: samples that share a number of tokens. How many of it each keeps, from reads of the tokens block by block.

One pool of all samples is counted by histograms (`largest_keys`), in two reads. Several pools are sorted one by one, in
one read: a pool's keys are in memory from its first sample until its last one was read.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.ragged import Ints
from prunegrid.pruners.arrays import Choice, Scores
from prunegrid.pruners.candidates import Candidates
from prunegrid.pruners.largest_keys import KeyBlock, count_largest

Blocks = Callable[[], Iterable[Scores]]
JOINED = "place", "sample_id", "key"


@dataclass(frozen=True)
class Members:
    """The keys [C] of m samples of pools, divided by `offsets` [m+1]; `place` [m] is where each is in the choice."""

    place: Ints
    sample_id: Ints
    key: NDArray[np.float32]
    offsets: Ints

    def take(self, rows: Ints) -> "Members":
        """The samples `rows`, in that order."""
        key, lengths = self.key[ragged.flat_indices(self.offsets, rows)], np.diff(self.offsets)[rows]
        return Members(self.place[rows], self.sample_id[rows], key, ragged.offsets_from_lengths(lengths))

    @classmethod
    def join(cls, parts: "list[Members]") -> "Members":
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        place, ids, key = (np.concatenate([getattr(part, name) for part in parts]) for name in JOINED)
        return cls(place, ids, key, ragged.offsets_from_lengths(lengths))


def without_pools(choice: Choice, blocks: Blocks) -> Choice:
    """The choice with a k of its own for each sample: where samples share a pool, its tokens are read for that.

    Each pool keeps as many largest keys as its k add up to, in float32. Of equal keys those of the smaller `sample_id`
    are kept, so that the result does not depend on the order of the blocks.
    """
    if choice.pool is None:
        return choice
    is_member = choice.pool >= 0
    is_single = is_member.any() and choice.pool[is_member].min() == choice.pool.max()
    count = _count_single if is_single else _count_several
    return replace(choice, k=count(choice, choice.pool, blocks), pool=None)


def _members(choice: Choice, pool: Ints, blocks: Blocks) -> Iterator[Members]:
    """The samples of pools, block by block."""
    start = 0
    for block in blocks():
        rows = np.flatnonzero(pool[start : start + len(block)] >= 0)
        candidates = Candidates.of(block, choice)
        offsets = ragged.offsets_from_lengths(np.diff(candidates.offsets)[rows])
        yield Members(start + rows, block.sample_id[rows], candidates.take(rows, choice.least), offsets)
        start += len(block)


def _count_single(choice: Choice, pool: Ints, blocks: Blocks) -> Ints:
    """k [n] where all members are of one pool."""

    def keys() -> Iterator[KeyBlock]:
        for part in _members(choice, pool, blocks):
            yield KeyBlock(part.place, part.sample_id, part.key, part.offsets)

    is_member = pool >= 0
    counted = count_largest(keys, len(pool), int(choice.k[is_member].sum()))
    return np.where(is_member, counted, choice.k)


def _count_several(choice: Choice, pool: Ints, blocks: Blocks) -> Ints:
    """k [n]; the samples of a pool may be anywhere, but the sooner all were read, the less is in memory."""
    k, waiting = choice.k.copy(), list[Members]()
    unread = np.bincount(pool[pool >= 0])
    for part in _members(choice, pool, blocks):
        np.subtract.at(unread, pool[part.place], 1)
        waiting.append(part)
        if any((unread[pool[each.place]] == 0).any() for each in waiting):
            every = Members.join(waiting)
            is_whole = unread[pool[every.place]] == 0
            waiting = [every.take(np.flatnonzero(~is_whole))]
            whole = every.take(np.flatnonzero(is_whole))
            # The samples of a pool must be neighbours, in order of `sample_id`.
            whole = whole.take(np.lexsort((whole.sample_id, pool[whole.place])))
            k[whole.place] = _counts(whole, pool[whole.place], choice.k[whole.place])
    return k


def _counts(members: Members, pool_m: Ints, k_m: Ints) -> Ints:
    """How many keys of each sample [m] are among the largest of its pool."""
    key_C, offsets = members.key, members.offsets
    first = np.flatnonzero(np.diff(pool_m, prepend=-1))
    borders = np.append(first, len(pool_m))
    larger_C, tie_C = np.zeros(len(key_C), np.bool_), np.zeros(len(key_C), np.bool_)
    spare = np.zeros(len(first), np.int64)
    for i, (start, stop) in enumerate(zip(offsets[borders[:-1]].tolist(), offsets[borders[1:]].tolist(), strict=True)):
        key = key_C[start:stop]
        total = int(k_m[borders[i] : borders[i + 1]].sum())
        total = min(max(total, int((key == np.inf).sum())), int((key > -np.inf).sum()))
        if not total:
            continue
        threshold = np.partition(key, len(key) - total)[len(key) - total]
        larger_C[start:stop], tie_C[start:stop] = key > threshold, key == threshold
        spare[i] = total - larger_C[start:stop].sum()
    # No sample is without a token, so that no segment is empty; `segment_sums` would take 16 bytes a candidate.
    larger, ties = (np.add.reduceat(marks_C, offsets[:-1], dtype=np.int64) for marks_C in (larger_C, tie_C))
    # Not all keys that tie with the threshold fit: they are admitted sample by sample, by `sample_id`.
    before = np.cumsum(ties) - ties
    samples = np.diff(borders)
    earlier = before - np.repeat(before[first], samples)
    k: Ints = larger + np.clip(np.repeat(spare, samples) - earlier, 0, ties)
    return k
