"""How many tokens a pair keeps and which tokens compete for that: options that every token pruner has."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners.arrays import Draw, EndToken, Scores
from prunegrid.pruners.match import match_token_counts
from prunegrid.pruners.options import OptionGroup, added

PROMPT_CANDIDATES = "prompt_candidates"
PromptKeys = Callable[[Scores, Draw], Floats]
# As in the authors' working copy of September 2025 (Q-tuning/Q-tuning, dd6eba5, train/sft/trainer.py, compute_loss):
# attended positions compete, special ids excepted, those of all kept samples of a micro-batch together.
AUTHORS_RULES = {"end_token": "drop", "candidates": "sequence", "pool": "batch", "token_count": "round"}


class TokenRules(OptionGroup):
    """The defaults are the paper's: of each response its share, rounded down, the end of the sequence always.

    `candidates: sequence` lets the prompt's tokens compete, special ones excepted: they use up the budget and train
    nothing. `pool: batch` shares one count among the tokens of all kept samples (of a mini-batch, in dynamic mode).
    """

    end_token: Annotated[EndToken, added("keep")] = "keep"
    candidates: Annotated[Literal["response", "sequence"], added("response")] = "response"
    pool: Annotated[Literal["sample", "batch"], added("sample")] = "sample"
    token_count: Annotated[Literal["floor", "round"], added("floor")] = "floor"

    @classmethod
    def read(cls, options: dict[str, Any]) -> "TokenRules":
        """The rules among a pair's options."""
        return cls(**{name: options[name] for name in cls.model_fields if name in options})

    def response_sizes(self, kept: Scores) -> Ints:
        """How many response tokens of each sample [m] may be kept."""
        return kept.response_tokens - (kept.answers.end_counts if self.end_token == "drop" else 0)

    def sizes(self, kept: Scores) -> Ints:
        """How many tokens of each sample [m] compete, those of the prompt included if they do."""
        sizes = self.response_sizes(kept)
        return sizes + kept.samples[PROMPT_CANDIDATES].astype(np.int64) if self.candidates == "sequence" else sizes

    def least(self, kept: Scores) -> Ints:
        """How many tokens of each sample [m] are kept at least: the ends of all its answers if they are, and one."""
        return np.minimum(kept.least_tokens if self.end_token == "keep" else 1, self.response_sizes(kept))

    def counts(self, kept: Scores, ratio: float) -> Ints:
        """How many of the candidates of each sample [m] to keep; in a pool only the sum matters."""
        sizes = self.sizes(kept)
        if self.pool == "sample":
            return np.maximum(np.minimum(self._count(ratio, sizes), sizes), self.least(kept))
        ends = int(kept.answers.end_counts.sum()) if self.end_token == "keep" else 0
        return _divide(max(int(self._count(ratio, sizes.sum(keepdims=True))[0]), ends), sizes)

    def matched(self, kept: Scores, tokens: int) -> Ints:
        """As `counts`, so that `tokens` response tokens are kept in all.

        Where the prompts' tokens compete, that number is met on average: it is the same share of all candidates.
        """
        sizes, response = self.sizes(kept), self.response_sizes(kept)
        if self.pool == "batch":
            return _divide(tokens * int(sizes.sum()) // max(1, int(response.sum())), sizes)
        return match_token_counts(response, tokens, self.least(kept)) * sizes // np.maximum(1, response)

    def _count(self, ratio: float, sizes: Ints) -> Ints:
        return ragged.keep_counts(ratio, sizes, self.token_count)


def _divide(total: int, sizes: Ints) -> Ints:
    """Numbers that add up to `total`, none above its size; all of `sizes` if they are fewer."""
    counts: Ints = np.clip(total - np.cumsum(sizes) + sizes, 0, sizes)
    return counts


def prompt_loss(scores: Scores, draw: Draw) -> Floats:
    """The loss of the prompts' candidates [P]: none is trained, so each is 0."""
    return np.zeros(int(scores.samples[PROMPT_CANDIDATES].sum()))
