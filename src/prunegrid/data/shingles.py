"""Words of texts as numbers, and hashes of every n words in a row: what near duplicates and contamination compare.

A text is read without capitals and punctuation, as GPT-3's appendix C does. Chinese and Japanese have no blanks between
words, so there every character is one.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{SINGLE}]|[^\W_{SINGLE}]+")
BASE = 0x9E3779B97F4A7C15  # odd: sums of words times its powers keep all 64 bits
CACHED_WORDS = 1 << 17

Hashes = NDArray[np.uint64]


class Words(NamedTuple):
    """Hashes of the words of texts behind one another, `[W]`: of text i from `offsets[i]` up to `offsets[i + 1]`."""

    hashes: Hashes
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


def split(text: str) -> list[str]:
    """The words of a text, in small letters, without punctuation."""
    return WORD.findall(text.lower())


def read_words(texts: Iterable[str]) -> Words:
    """The words of all texts. A text of signs alone is one word."""
    hashes: list[int] = []
    offsets = [0]
    for text in texts:
        hashes.extend(map(_hash, split(text) or [text.strip()]))
        offsets.append(len(hashes))
    return Words(np.array(hashes, np.uint64), np.array(offsets, np.int64))


@lru_cache(CACHED_WORDS)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def ngram_hashes(words: Hashes, n: int) -> Hashes:
    """A hash of the n words from each place on, `[W - n + 1]`, whatever text they belong to."""
    total = np.zeros(max(0, len(words) - n + 1), np.uint64)
    for start in range(n if len(total) else 0):
        total = total * np.uint64(BASE) + words[start : start + len(total)]
    return _mixed(total)


def whole_places(words: Words, n: int) -> NDArray[np.bool_]:
    """Which places of `ngram_hashes` have all of their n words in one text, `[W - n + 1]`."""
    marks = np.ones(len(words.hashes) + 1, bool)
    for shift in range(1, n):
        marks[np.maximum(words.offsets[1:] - shift, 0)] = False
    return marks[: max(0, len(words.hashes) - n + 1)]


def _mixed(values: Hashes) -> Hashes:
    """Each bit depends on all bits (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
