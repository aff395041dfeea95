"""What competes for being kept in a block: response tokens, and the prompts' candidates if they do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners.arrays import Choice, Scores
from prunegrid.pruners.largest_keys import LARGEST


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
