"""Hand-made conversations: samples whose prompts go on behind the response of the sample before."""

from collections.abc import Sequence

import numpy as np

from prunegrid.core.ragged import positions
from prunegrid.scoring.sequences import Sequences

TURNS = (3, 1, 2, 1, 4, 2)


def conversations(turns: Sequence[int] = TURNS, seed: int = 0, vocabulary: int = 250) -> Sequences:
    """A conversation of so many answers for each of `turns`, with random ids; the last answer of the third is cut."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(turns)])
    turn_N, row_N = positions(offsets), np.repeat(np.arange(len(turns)), turns)
    prompt_N, response_N = rng.integers(1, 9, len(turn_N)), rng.integers(1, 12, len(turn_N))
    truncated_N = np.zeros(len(turn_N), bool)
    truncated_N[offsets[3] - 1] = True
    ids_T = rng.integers(5, vocabulary, (prompt_N + response_N).sum()).astype(np.int32)
    return Sequences(
        10 * row_N + turn_N, prompt_N, response_N, truncated_N, ids_T, row_N, turn_N, continues_N=turn_N > 0
    )
