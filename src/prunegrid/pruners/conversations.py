"""`unit: conversation`: the answers of a conversation as one sample that pruners see, and its selection as answers."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Scores, SelectionArrays, Turns
from prunegrid.pruners.columns import TEXT_EXTRAS

GEOMETRIC = ("ppl", "ifd", "s_ifd")  # their logarithm is a mean over tokens
WHOLE = ("sequence_entropy",)  # of all that stands before an answer, too: that of the last answer is the conversation's


BLOCK = 4096  # conversations whose vectors are in memory at a time


def merge(scores: Scores, first: Ints) -> Scores:
    """Samples that are conversations: each begins with a sample `first` of `scores` and has those up to the next one.

    A conversation has the `sample_id` of its first answer. Its token values are those of its answers; its sample
    columns are means weighted by response tokens, of the logarithm for `GEOMETRIC`: `nll` stays the mean
    over tokens and `ppl` its exponential. Refuses columns that count what stands before an answer.
    """
    if counts := sorted(scores.samples.keys() & set(TEXT_EXTRAS)):
        problem = f"{counts[0]} describes the prompt of one answer, but a conversation has several"
        raise PrunegridError("unit: conversation", problem, "set unit: turn, or choose another pruner")
    offsets = np.append(first, len(scores))
    turns = Turns(offsets, scores.sample_id, scores.response_tokens, scores.truncated)
    lengths = np.add.reduceat(scores.response_tokens, first)
    prompt = scores.prompt_tokens
    return replace(
        scores,
        sample_id=scores.sample_id[first],
        response_tokens=lengths,
        truncated=np.logical_or.reduceat(scores.truncated, first),
        offsets=ragged.offsets_from_lengths(lengths),
        samples={
            name: _mean(name, column, scores, first) if column.ndim == 1 else _mean_vectors(column, scores, first)
            for name, column in scores.samples.items()
        },
        prompt_tokens=None if prompt is None else np.add.reduceat(prompt, first),
        turns=turns,
    )


def _mean(name: str, column: NDArray[np.floating[Any]], scores: Scores, first: Ints) -> Floats:
    if name in WHOLE:
        last: Floats = column[np.append(first[1:], len(scores)) - 1]
        return last
    logarithmic = name in GEOMETRIC
    with np.errstate(divide="ignore", invalid="ignore"):  # the pruner's check reports what is not finite
        values = np.log(column) if logarithmic else column
        mean: Floats = np.add.reduceat(values * scores.response_tokens, first)
        mean /= np.add.reduceat(scores.response_tokens, first)
    return np.exp(mean) if logarithmic else mean


def _mean_vectors(column_ND: NDArray[Any], scores: Scores, first: Ints) -> NDArray[Any]:
    """float16[C, D]: means weighted by response tokens, a block of conversations at a time."""
    means_CD = np.empty((len(first), column_ND.shape[1]), np.float16)
    borders = np.append(first, len(scores))
    for start in range(0, len(first), BLOCK):
        begin = borders[start : start + BLOCK + 1]
        weight_N1 = scores.response_tokens[begin[0] : begin[-1], None].astype(np.float32)
        sums_CD = np.add.reduceat(column_ND[begin[0] : begin[-1]] * weight_N1, begin[:-1] - begin[0])
        means_CD[start : start + BLOCK] = sums_CD / np.add.reduceat(weight_N1, begin[:-1] - begin[0])
    return means_CD


def split(selection: SelectionArrays) -> SelectionArrays:
    """The same selection with a row for each answer that keeps a token; its positions are within the answer.

    A conversation that keeps none has a row for its first answer. `prompt_kept` is in the first row of each.
    """
    turns = selection.turns
    if turns is None or len(turns.sample_id) == len(selection):
        return selection
    answer_offsets = ragged.offsets_from_lengths(turns.response_tokens)
    start_N = answer_offsets[turns.offsets[:-1]]
    flat = np.repeat(start_N, np.diff(selection.offsets)) + selection.positions
    answer = np.searchsorted(answer_offsets, flat, side="right") - 1
    counts = np.bincount(answer, minlength=len(turns.sample_id))
    is_row = counts > 0
    is_row[turns.offsets[:-1][np.diff(selection.offsets) == 0]] = True
    kept = np.flatnonzero(is_row)
    sample = np.repeat(np.arange(len(selection)), np.diff(turns.offsets))[kept]
    return SelectionArrays(
        sample_id=turns.sample_id[kept],
        weight=selection.weight[sample],
        offsets=ragged.offsets_from_lengths(counts[kept]),
        positions=(flat - answer_offsets[answer]).astype(np.int32),
        quadrant=selection.quadrant[sample],
        reason=selection.reason[sample],
        treated_as=selection.treated_as[sample],
        details=selection.details,
        turns=Turns(
            np.arange(len(kept) + 1), turns.sample_id[kept], turns.response_tokens[kept], turns.truncated[kept]
        ),
        prompt_kept=None if selection.prompt_kept is None else _first_rows(sample, selection.prompt_kept),
    )


def _first_rows(sample: Ints, values: Ints) -> Ints:
    """The value of each sample in the first of its rows, and 0 in the others; `sample` is ascending."""
    spread = np.zeros(len(sample), np.int64)
    spread[np.flatnonzero(np.diff(sample, prepend=-1))] = values
    return spread
