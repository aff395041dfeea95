"""Near duplicates: samples that say nearly the same, found by MinHash and its bands (Broder 1997; Lee et al. 2022).

Two samples are near duplicates if four in five of their shingles (five words in a row) are the same, of the whole
sample and of its learned answers alone: Jaccard similarity of at least 0.8, by 120 hash functions, each time. Questions
about one passage share most of their words and have other answers, so they are none. System messages do not count.
A group is what such pairs connect.
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prunegrid.data.messages import Messages, text_of
from prunegrid.data.shingles import Hashes, Words, ngram_hashes, read_words

SHINGLE, THRESHOLD = 5, 0.8
BANDS, BAND_HASHES = 20, 6  # of pairs at the threshold 99.8 % share a band, at 0.5 27 %
FUNCTIONS = BANDS * BAND_HASHES
PAIRS = 1 << 14  # that are compared at a time
FACTORS, TERMS = np.random.default_rng(0).integers(0, 1 << 32, (2, FUNCTIONS), np.uint32)
FACTORS |= np.uint32(1)  # odd, so that each function is a permutation


def parts(messages: Messages, learned: Sequence[bool]) -> tuple[str, str]:
    """The texts that are compared: of all messages but the system's, and of the answers that are learned."""
    answers = (message for message, is_answer in zip(messages, learned, strict=True) if is_answer)
    return text_of(message for message in messages if message["role"] != "system"), text_of(answers)


def signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """The least value of each hash function over a text's shingles, `[n, FUNCTIONS]`.

    The share of equal values estimates the Jaccard similarity of two texts. A text of fewer words is one shingle.
    """
    shingles, starts = _shingles(read_words(texts))
    least = np.empty((len(texts), FUNCTIONS), np.uint32)
    for k, (factor, term) in enumerate(zip(FACTORS, TERMS, strict=True)):
        least[:, k] = np.minimum.reduceat(shingles * factor + term, starts)
    return least


def _shingles(words: Words) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The texts' shingles, and where those of each begin; short texts are filled up with a word that is none."""
    short = np.maximum(SHINGLE - words.lengths, 0)
    filled = np.insert(words.hashes, np.repeat(words.offsets[1:], short), np.uint64(0))
    lengths = words.lengths + short
    places = np.ones(len(filled), bool)
    ends = np.cumsum(lengths)
    for shift in range(1, SHINGLE):
        places[ends - shift] = False
    hashes = ngram_hashes(filled, SHINGLE)[places[: len(filled) - SHINGLE + 1]]
    starts = np.concatenate([[0], np.cumsum(lengths - SHINGLE + 1)[:-1]])
    return (hashes >> np.uint64(32)).astype(np.uint32), starts


class NearDuplicates:
    """Collects samples, then groups them. Temporary files, in `folder`, take 640 bytes a sample."""

    def __init__(self, folder: Path | None = None) -> None:
        self.count, self.files = 0, ExitStack()
        files = [tempfile.TemporaryFile(dir=folder) for _ in range(BANDS + 1)]  # noqa: SIM115 (`close` does)
        self.signatures, *self.bands = map(self.files.enter_context, files)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.files.close()

    def add(self, samples: Sequence[tuple[str, str]]) -> None:
        """The `parts` of samples, which are numbered as they come."""
        if not samples:
            return
        whole, answers = (signatures(texts) for texts in zip(*samples, strict=True))
        # 16 bits of each value tell equal ones from others but in one case of 65,536.
        self.signatures.write(np.stack([whole, answers], 1).astype(np.uint16).tobytes())
        for band, file in enumerate(self.bands):
            file.write(band_keys(whole[:, band * BAND_HASHES :][:, :BAND_HASHES]).tobytes())
        self.count += len(samples)

    def firsts(self) -> NDArray[np.int64]:
        """For each sample the number of the first of its group, `[n]`: its own if no near duplicate comes before it."""
        firsts = np.arange(self.count)
        self.signatures.flush()
        for file in self.bands if self.count else ():
            file.seek(0)
            later, earlier = _candidates(np.frombuffer(file.read(), np.uint64))
            new = firsts[later] != firsts[earlier]
            join(firsts, *self._similar(later[new], earlier[new]))
        return firsts

    def _similar(self, later: NDArray[np.int64], earlier: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """The pairs that reach the threshold, of whole samples and of answers."""
        stored = np.memmap(self.signatures, np.uint16, "r", shape=(self.count, 2, FUNCTIONS))
        marks = np.zeros(len(later), bool)
        for start, end in pairwise([*range(0, len(later), PAIRS), len(later)]):
            equal = stored[later[start:end]] == stored[earlier[start:end]]
            marks[start:end] = (equal.mean(axis=2) >= THRESHOLD).all(axis=1)
        return later[marks], earlier[marks]


def band_keys(values: NDArray[np.uint32]) -> Hashes:
    """One hash for each row of a band."""
    return ngram_hashes(values.astype(np.uint64).ravel(), values.shape[1])[:: values.shape[1]]


def _candidates(keys: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs with the same key: each sample with the one before it, and with the first of all that have the key.

    All pairs of a large group would grow with its square.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    repeated = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    bucket = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    first = order[bucket[np.searchsorted(bucket, repeated, side="right") - 1]]
    later = order[repeated]
    return np.concatenate([later, later]), np.concatenate([order[repeated - 1], first])


def join(firsts: NDArray[np.int64], later: NDArray[np.int64], earlier: NDArray[np.int64]) -> None:
    """Connect the groups of each pair in `firsts`, which keeps the first member of each group."""
    while len(later):
        ends = np.sort([firsts[later], firsts[earlier]], axis=0)
        differ = ends[0] != ends[1]
        np.minimum.at(firsts, ends[1][differ], ends[0][differ])
        while not np.array_equal(firsts[firsts], firsts):
            firsts[:] = firsts[firsts]
        later, earlier = later[differ], earlier[differ]


def ranks(firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many samples of its group come before each sample, `[n]`."""
    order = np.argsort(firsts, kind="stable")
    ordered = firsts[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else order
    number = np.empty_like(order)
    number[order] = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    return number
