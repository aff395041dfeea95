"""How much selections of the same data have in common, beside what random choices of the same sizes would have.

A Jaccard index is the size of the intersection by that of the union: of samples, and of the tokens that are kept in
samples that both keep. Two random choices of a and b of N samples have a b / N in common on average; of a sample's
L tokens likewise, but for the end of the sequence, which most pruners always keep. `chance` is the index that such a
mean intersection has: what an index must be compared with, for it grows with the budget.

The selections [E] are read side by side, block by block of samples: memory grows with their ids alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.parts import stream_parts
from prunegrid.core.ragged import Bools, Floats, Ints, offsets_from_lengths
from prunegrid.scoring.reader import check_digests
from prunegrid.selection.kept_answers import FIX, Answers, KeptAnswers, read_selections

BLOCK = 2**23  # values of the largest array, a number for each selection and token


class Overlap(NamedTuple):
    """Jaccard indices of samples, and of tokens in common samples, each with that of random choices.

    `tokens` is None without a common sample, or where two tokenizers cut the answers; `samples_chance` and
    `tokens_chance` are None where the scores that were pruned are not there to say what there was to choose from.
    """

    samples: float
    tokens: float | None
    common_samples: int
    samples_chance: float | None = None
    tokens_chance: float | None = None


@dataclass(frozen=True)
class OverlapCounts:
    """Counts for every two selections: what both keep, and of tokens how many the first keeps in common samples.

    `n_answers_E` are how many answers each chose from, `chance_tokens_EE` how many common tokens random choices have.
    NaN: unknown, or answers that two tokenizers cut.
    """

    common_EE: Ints
    n_answers_E: Floats
    tokens_EE: Floats
    common_tokens_EE: Floats
    chance_tokens_EE: Floats

    def overlap(self, first: int, second: int) -> Overlap:
        """That of two selections, by their places."""
        kept, other, common = (
            int(self.common_EE[i, j]) for i, j in ((first, first), (second, second), (first, second))
        )
        tokens, other_tokens = self.tokens_EE[first, second], self.tokens_EE[second, first]
        n_answers = max(self.n_answers_E[first], self.n_answers_E[second])  # the fewer are among the more
        return Overlap(
            jaccard(common, kept, other) or 0.0,
            jaccard(self.common_tokens_EE[first, second], tokens, other_tokens),
            common,
            jaccard(kept * other / n_answers, kept, other),
            jaccard(self.chance_tokens_EE[first, second], tokens, other_tokens),
        )


def jaccard(common: float, first: float, second: float) -> float | None:
    """The index of two sets of these sizes with so many in common; None if both are empty or a number is unknown."""
    union = first + second - common
    return float(common / union) if union > 0 else None


def overlap(folder: Path, other: Path) -> Overlap:
    """Compare the selections in two folders; those of other data or tokens are refused."""
    selections = read_selections([folder, other])
    first, second = (selection.summary for selection in selections)
    expected = {name: digest for name, digest in first.digests.items() if name in ("tokenizer", "template")}
    check_digests(other, second.digests, expected, FIX)
    return count_overlaps(selections).overlap(0, 1)


def count_overlaps(selections: Sequence[KeptAnswers]) -> OverlapCounts:
    """Count what every two of the selections, which are of the same data, have in common."""
    number = len(selections)
    tokens_EE, common_EE, chance_EE = (np.full((number, number), nan) for _ in range(3))
    for digests in {selection.text_digests for selection in selections}:
        members = [place for place, selection in enumerate(selections) if selection.text_digests == digests]
        square = np.ix_(members, members)
        counts = _count_tokens([selections[place] for place in members])
        tokens_EE[square], common_EE[square], chance_EE[square] = counts
    n_answers_E = np.array([selection.n_answers for selection in selections], np.float64)
    return OverlapCounts(_count_samples(selections), n_answers_E, tokens_EE, common_EE, chance_EE)


def _count_samples(selections: Sequence[KeptAnswers]) -> Ints:
    number = len(selections)
    common_EE = np.zeros((number, number), np.int64)
    for block_N in _id_blocks(selections, max(1, BLOCK // number)):
        kept_EN = np.zeros((number, len(block_N)), np.float32)
        for row_N, selection in zip(kept_EN, selections, strict=True):
            row_N[_places(selection.sample_id, block_N)] = 1
        common_EE += (kept_EN @ kept_EN.T).astype(np.int64)
    return common_EE


def _id_blocks(selections: Sequence[KeptAnswers], size: int) -> Iterator[Ints]:
    """The ids that some selection keeps, ascending, so many at a time."""
    ids_N = selections[0].sample_id
    for selection in selections[1:]:
        ids_N = np.union1d(ids_N, selection.sample_id)
    for start in range(0, len(ids_N), size):
        yield ids_N[start : start + size]


def _places(ids: Ints, block_N: Ints) -> Ints:
    """Where in a block of ids those of `ids` stand that are within it; both ascend."""
    first, last = np.searchsorted(ids, [block_N[0], block_N[-1] + 1])
    places: Ints = np.searchsorted(block_N, ids[first:last])
    return places


def _count_tokens(selections: Sequence[KeptAnswers]) -> tuple[Floats, Floats, Floats]:
    """For every two selections of one tokenizer the `tokens_EE`, `common_tokens_EE` and `chance_tokens_EE`."""
    number = len(selections)
    answers = next((selection.answers for selection in selections if selection.answers), None)
    ends_E = np.array([selection.keeps_ends for selection in selections])
    mean = max(1.0, *(selection.mean_length for selection in selections))
    blocks = list(_id_blocks(selections, max(1, int(BLOCK / (number * mean)))))
    sizes = [[len(_places(selection.sample_id, block)) for block in blocks] for selection in selections]
    streams = [
        stream_parts(selection.file, ["sample_id", "kept"], size)
        for selection, size in zip(selections, sizes, strict=True)
    ]
    totals = [np.zeros((number, number)) for _ in range(3)]
    for block_N, *tables in zip(blocks, *streams, strict=True):
        lists = [_lists(table) for table in tables]
        rows = [_places(selection.sample_id, block_N) for selection in selections]
        counts_EN, kept_EN = np.zeros((2, number, len(block_N)))
        for place, (row, (lengths, _)) in enumerate(zip(rows, lists, strict=True)):
            counts_EN[place, row], kept_EN[place, row] = lengths, 1
        totals[0] += counts_EN @ kept_EN.T
        totals[1] += _common_tokens(rows, lists, len(block_N))
        totals[2] += nan if answers is None else _chance_tokens(counts_EN, kept_EN, block_N, answers, ends_E)
    return totals[0], totals[1], totals[2]


def _lists(table: pa.Table) -> tuple[Ints, NDArray[np.int32]]:
    """How many tokens each row keeps, and all their positions one after another."""
    column = table["kept"].combine_chunks()
    return column.value_lengths().to_numpy().astype(np.int64), column.flatten().to_numpy()


def _common_tokens(rows: Sequence[Ints], lists: Sequence[tuple[Ints, NDArray[np.int32]]], size: int) -> Floats:
    """For every two selections, the tokens that both keep of a block of `size` samples."""
    extent_N = np.zeros(size, np.int64)  # the least length that leaves a place for every kept token
    for row, (lengths, positions) in zip(rows, lists, strict=True):
        has_some = lengths > 0
        last = positions[np.cumsum(lengths)[has_some] - 1]
        extent_N[row[has_some]] = np.maximum(extent_N[row[has_some]], last + 1)
    offsets = offsets_from_lengths(extent_N)
    marks_ET = np.zeros((len(rows), offsets[-1]), np.float32)
    for place, (row, (lengths, positions)) in enumerate(zip(rows, lists, strict=True)):
        marks_ET[place, np.repeat(offsets[row], lengths) + positions] = 1
    common_EE: Floats = (marks_ET @ marks_ET.T).astype(np.float64)
    return common_EE


def _chance_tokens(counts_EN: Floats, kept_EN: Floats, block_N: Ints, answers: Answers, ends_E: Bools) -> Floats:
    """For every two selections, the tokens that two random choices of as many of each sample have in common."""
    places = np.minimum(np.searchsorted(answers.sample_id, block_N), len(answers.sample_id) - 1)
    if not np.array_equal(answers.sample_id[places], block_N):
        raise PrunegridError("selections", "keep samples that the scores of the others do not have", FIX)
    length_N, end_N = answers.response_tokens[places], ~answers.truncated[places]
    free_EN = counts_EN / np.sqrt(length_N)
    ends_EN = kept_EN * end_N  # kept by both, whatever is drawn
    rest_EN = (counts_EN - ends_EN) / np.sqrt(np.maximum(1, length_N - end_N))
    forced_EE = ends_EN @ ends_EN.T + rest_EN @ rest_EN.T
    return np.where(np.logical_and.outer(ends_E, ends_E), forced_EE, free_EN @ free_EN.T)
