"""The tokens of the samples that a `Choice` keeps: ranked block by block, within each sample or within a pool."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners.arrays import Choice, Scores, SelectionArrays
from prunegrid.pruners.largest_keys import LARGEST

Blocks = Callable[[], Iterable[Scores]]


@dataclass(frozen=True)
class Candidates:
    """What competes in a block: the prompts' candidates, if they do, and response tokens, sample by sample.

    A `key` [C] is infinite for a token that is always kept, and minus infinity for one that never is.
    """

    key: Floats
    offsets: Ints
    is_response: Bools | None = None

    @classmethod
    def of(cls, block: Scores, choice: Choice) -> "Candidates":
        """The candidates of a block of kept samples, the ends of their answers ranked as `end_token` says."""
        key = choice.rank(block).copy()
        if choice.end_token != "compete":
            key[block.answers.ends] = np.inf if choice.end_token == "keep" else -np.inf
        if choice.prompt_rank is None:
            return cls(key, block.offsets)
        prompt = block.samples["prompt_candidates"].astype(np.int64)
        offsets = ragged.offsets_from_lengths(prompt + block.response_tokens)
        is_response = ragged.positions(offsets) >= np.repeat(prompt, np.diff(offsets))
        merged = np.empty(len(is_response))
        merged[is_response], merged[~is_response] = key, choice.prompt_rank(block)
        return cls(merged, offsets, is_response)

    @property
    def forced(self) -> Ints:
        """How many of each sample [m] are always kept."""
        return ragged.segment_sums(self.key == np.inf, self.offsets)

    @property
    def available(self) -> Ints:
        """How many of each sample [m] may be kept."""
        return ragged.segment_sums(self.key > -np.inf, self.offsets)

    def take(self, rows: Ints, least: int) -> NDArray[np.float32]:
        """The keys of the samples `rows` in float32, infinite for the `least` best of each.

        Infinity is reserved for what is kept for sure, which no other key may tie with.
        """
        offsets = ragged.offsets_from_lengths(np.diff(self.offsets)[rows])
        key = self.key[ragged.flat_indices(self.offsets, rows)]
        key = np.where(np.isfinite(key), np.clip(key, -LARGEST, LARGEST), key)
        best = ragged.segment_top_k(key, offsets, np.full(len(rows), least)) & (key > -np.inf)
        key[best] = np.inf
        return key.astype(np.float32)


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


def without_pools(choice: Choice, blocks: Blocks) -> Choice:
    """The choice with a k of its own for each sample: where samples share a pool, its tokens are read for that."""
    return choice if choice.pool is None else replace(choice, k=_pooled_counts(choice, choice.pool, blocks), pool=None)


def _pooled_counts(choice: Choice, pool: Ints, blocks: Blocks) -> Ints:
    """How many candidates to keep of each sample [m], if each pool keeps as many largest keys as its k add up to.

    Keys are compared in float32: with what sorting needs, 12 bytes a candidate of the pools' samples. Of equal keys
    those of the smaller `sample_id` are kept, so that the result does not depend on the order of the blocks.
    """
    keys, sizes, ids = [], [], []
    start = 0
    for block in blocks():
        rows = np.flatnonzero(pool[start : start + len(block)] >= 0)
        start += len(block)
        candidates = Candidates.of(block, choice)
        keys.append(candidates.take(rows, choice.least))
        sizes.append(np.diff(candidates.offsets)[rows])
        ids.append(block.sample_id[rows])
    members = np.flatnonzero(pool >= 0)
    key_C, offsets, id_m = np.concatenate(keys), ragged.offsets_from_lengths(np.concatenate(sizes)), np.concatenate(ids)
    del keys
    order = np.argsort(pool[members], kind="stable")
    if np.any(np.diff(order) < 0):  # the samples of a pool must be neighbours
        members, id_m, key_C = members[order], id_m[order], key_C[ragged.flat_indices(offsets, order)]
        offsets = ragged.offsets_from_lengths(np.diff(offsets)[order])
    k = choice.k.copy()
    k[members] = _counts(key_C, offsets, pool[members], id_m, choice.k[members])
    return k


def _counts(key_C: NDArray[np.float32], offsets: Ints, pool_m: Ints, id_m: Ints, k_m: Ints) -> Ints:
    """How many keys of each sample [m] are among the largest of its pool; the samples of a pool are neighbours."""
    first = np.flatnonzero(np.diff(pool_m, prepend=-1))
    borders, number_m = (
        np.append(first, len(pool_m)),
        np.repeat(np.arange(len(first)), np.diff(first, append=len(pool_m))),
    )
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
    # Not all keys that tie with the threshold fit. They are admitted sample by sample, by `sample_id`; `earlier` are
    # the ties of the samples of the pool that come first.
    order = np.lexsort((id_m, pool_m))
    first_tie = np.cumsum(ties[order]) - ties[order]
    earlier = first_tie - first_tie[first][number_m]
    admitted = np.empty_like(ties)
    admitted[order] = np.clip(spare[number_m] - earlier, 0, ties[order])
    k: Ints = larger + admitted
    return k


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
