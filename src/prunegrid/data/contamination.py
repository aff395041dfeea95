"""Contamination: items of benchmarks that a training set holds, found by the words that they share in a row.

A text of an item (question, passage, answer, option) is compared by its n-grams, n = 13 words, without capitals and
punctuation, as in GPT-3's appendix C (Brown et al. 2020); a text of 8 to 12 words is compared whole, and a shorter
one not at all: below 8 words, their least n, chance matches prevail. An item overlaps if an n-gram of it stands in a
sample, and is copied if at least 80 % of the words of one of its texts stand in such n-grams, which Llama 2 calls dirty
(Touvron et al. 2023, appendix A.6).
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.files import read_batches
from prunegrid.data.example_rows import KEY
from prunegrid.data.messages import Messages, text_of
from prunegrid.data.shingles import Words, ngram_hashes, read_words, split, whole_places

LENGTH, LEAST, COPIED = 13, 8, 0.8
ROWS = 1000  # samples that are compared at a time
NAMED_ITEMS, NAMED_SAMPLES, SHOWN_WORDS = 5, 3, 40
UNSEEN = np.iinfo(np.int64).max

Ints = NDArray[np.int64]


class Passages(NamedTuple):
    """The n-grams of one n: where each begins among the items' words, its hash's number, the hashes in order."""

    n: int
    places: Ints
    numbers: Ints
    hashes: NDArray[np.uint64]


class Benchmark:
    """The items of a benchmark as hashes, and the first sample that has each n-gram."""

    def __init__(self, items: Iterable[Any]) -> None:
        texts: list[str] = []
        owners: list[int] = []
        self.count = 0
        for number, item in enumerate(items):
            self.count = number + 1
            long = [text for text in dict.fromkeys(texts_of(item)) if len(split(text)) >= LEAST]
            texts += long
            owners += [number] * len(long)
        self.texts, self.owners = texts, np.array(owners, np.int64)
        self.words = read_words(texts)
        self.passages = [*_passages(self.words)]
        self.first = [np.full(len(passages.hashes), UNSEEN) for passages in self.passages]

    def compare(self, ids: Ints, samples: Words) -> None:
        """Note the samples, with these ids, that have n-grams of the items."""
        owners = np.repeat(ids, samples.lengths)
        for passages, first in zip(self.passages, self.first, strict=True):
            places = np.flatnonzero(whole_places(samples, passages.n))
            hashes = ngram_hashes(samples.hashes, passages.n)[places]
            number = np.minimum(np.searchsorted(passages.hashes, hashes), len(passages.hashes) - 1)
            equal = passages.hashes[number] == hashes
            np.minimum.at(first, number[equal], owners[places[equal]])

    def report(self) -> dict[str, Any]:
        """Counts of items: all, those with a text to compare, and of these who overlap and are copied; who they are."""
        covered, sample = self._covered()
        starts = self.words.offsets[:-1]
        shares = np.add.reduceat(covered, starts, dtype=float) / self.words.lengths if len(starts) else np.empty(0)
        share = np.zeros(self.count)
        np.maximum.at(share, self.owners, shares)
        order = np.lexsort((np.arange(self.count), -share))[: min(NAMED_ITEMS, int((share > 0).sum()))]
        return {
            "items": self.count,
            "checked": len(np.unique(self.owners)),
            "overlap": int((share > 0).sum()),
            "copied": int((share >= COPIED).sum()),
            "named": [self._named(item, shares, covered, sample) for item in order.tolist()],
        }

    def _covered(self) -> tuple[NDArray[np.bool_], Ints]:
        """Which words stand in an n-gram that a sample has, `[W]`, and the first sample with the n-gram at each."""
        covered, sample = np.zeros(len(self.words.hashes), bool), np.full(len(self.words.hashes), UNSEEN)
        for passages, first in zip(self.passages, self.first, strict=True):
            seen = first[passages.numbers] < UNSEEN
            places = passages.places[seen]
            sample[places] = first[passages.numbers][seen]
            for shift in range(passages.n):
                covered[places + shift] = True
        return covered, sample

    def _named(
        self, item: int, shares: NDArray[np.float64], covered: NDArray[np.bool_], sample: Ints
    ) -> dict[str, Any]:
        """An item by its row: the share of its text that is most covered, its samples, and the longest run of words."""
        texts = np.flatnonzero(self.owners == item)
        text = int(texts[np.argmax(shares[texts])])
        start, end = self.words.offsets[text : text + 2]
        ids = np.unique(sample[start:end])
        run = _longest_run(covered[start:end])
        words = split(self.texts[text])[run][:SHOWN_WORDS]
        return {
            "row": item,
            "share": round(float(shares[text]), 3),
            "sample_ids": ids[ids < UNSEEN][:NAMED_SAMPLES].tolist(),
            "words": " ".join(words),
        }


def _passages(words: Words) -> Iterator[Passages]:
    """The n-grams of every text: of 13 words, or of the whole of a shorter one."""
    lengths = np.repeat(words.lengths, words.lengths)
    for n in range(LEAST, LENGTH + 1):
        fits = lengths >= n if n == LENGTH else lengths == n
        places = np.flatnonzero(whole_places(words, n) & fits[: max(0, len(fits) - n + 1)])
        if len(places):
            hashes, numbers = np.unique(ngram_hashes(words.hashes, n)[places], return_inverse=True)
            yield Passages(n, places, numbers, hashes)


def _longest_run(marks: NDArray[np.bool_]) -> slice:
    """The longest row of marks, the first of several."""
    borders = np.flatnonzero(np.diff([False, *marks, False]))
    starts, ends = borders[::2], borders[1::2]
    longest = int(np.argmax(ends - starts))
    return slice(int(starts[longest]), int(ends[longest]))


def texts_of(item: Any) -> Iterator[str]:
    """Every text of an item, those in its lists and objects included."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, Mapping):
        for value in item.values():
            yield from texts_of(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from texts_of(value)


def without_examples(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The items of a benchmark's file, whose first line may hold the examples before every question."""
    return (row for row in rows if row.keys() != {KEY})


def read_samples(data: Path) -> Iterator[tuple[int, Messages]]:
    """`sample_id` and messages of a training set, a few at a time."""
    for batch in read_batches(data, ROWS, ["sample_id", "messages"]):
        yield from ((row["sample_id"], row["messages"]) for row in batch.to_pylist())


def find_contamination(benchmarks: Mapping[str, Benchmark], samples: Iterable[tuple[int, Messages]]) -> dict[str, Any]:
    """`contamination.json`: what each benchmark shares with the samples. Memory does not grow with their number."""
    count, samples = 0, iter(samples)
    while batch := [*islice(samples, ROWS)]:
        ids = np.array([sample_id for sample_id, _ in batch])
        words = read_words(map(text_of, (messages for _, messages in batch)))
        for benchmark in benchmarks.values():
            benchmark.compare(ids, words)
        count += len(batch)
    rule = {"words": LENGTH, "least_words": LEAST, "copied_share": COPIED}
    return {**rule, "samples": count, "benchmarks": {name: items.report() for name, items in benchmarks.items()}}


def contamination_sentence(record: Mapping[str, Any]) -> str:
    """What `contamination.json` says, for the table and the terminal."""
    counts = ", ".join(f"{name} {_counts(report)}" for name, report in record["benchmarks"].items())
    rule = f"{record['words']} words in a row (or all of a text of at least {record['least_words']})"
    return f"Contamination: items that share {rule} with a training sample: {counts}."


def _counts(report: Mapping[str, Any]) -> str:
    copied = f" ({report['copied']:,} copied)" if report["copied"] else ""
    total = f"{report['checked']:,}" if report["checked"] else f"none is so long, of {report['items']:,}"
    return f"{report['overlap']:,} of {total}{copied}" if report["checked"] else total
