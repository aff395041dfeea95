"""Answers drawn at random, each from its own stream of numbers.

transformers' own sampling draws for a whole batch at once, so an answer would depend on its batch. Here the t-th token
of a sample is chosen by the t-th number of its own generator: not by its batch, its order, or a batch that is given up.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from prunegrid.tasks.task import find_temperature

Seed = tuple[int, ...]
"""What a sample's numbers are made from: the evaluation's seed, the item's number, the sample's number in it."""


class Sampling(NamedTuple):
    """How tokens are drawn: temperature, then the `top_k` likeliest, then the likeliest of probability `top_p`."""

    temperature: float
    top_k: int | None = None
    top_p: float | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self | None:
        """That of a task's `generation_kwargs`; None if they are greedy."""
        temperature = find_temperature(settings)
        return cls(temperature, settings.get("top_k"), settings.get("top_p")) if temperature else None

    @property
    def warpers(self) -> LogitsProcessorList:
        """transformers' own, in its order."""
        warpers = LogitsProcessorList([TemperatureLogitsWarper(float(self.temperature))])
        if self.top_k is not None:
            warpers.append(TopKLogitsWarper(self.top_k))
        if self.top_p is not None and self.top_p < 1:
            warpers.append(TopPLogitsWarper(float(self.top_p)))
        return warpers


class Draw(LogitsProcessor):
    """Leaves each row one token, drawn by inverting the distribution function of its warped logits.

    A row's numbers are those of its seed; `answered[row]` of them are used, and `start` is the width of the prompts.
    """

    def __init__(
        self, sampling: Sampling, seeds: Sequence[Seed], answered: Sequence[int], start: int, max_new_tokens: int
    ) -> None:
        self.warpers, self.start = sampling.warpers, start
        self.uniform_BT = np.stack([np.random.default_rng(seed).random(max_new_tokens) for seed in seeds])
        self.answered_B = np.array(answered)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # a finished row goes on with its batch and may run out of numbers; its tokens count nowhere
        step_B = np.minimum(self.answered_B + input_ids.shape[1] - self.start, self.uniform_BT.shape[1] - 1)
        uniform_B1 = torch.from_numpy(self.uniform_BT[np.arange(len(step_B)), step_B, None]).to(scores.device)
        cumulative_BV = self.warpers(input_ids, scores).double().softmax(-1).cumsum(-1)
        # right: the first token beyond the number, which is never one of probability 0
        drawn_B1 = torch.searchsorted(cumulative_BV, uniform_B1 * cumulative_BV[:, -1:], right=True)
        drawn_B1 = drawn_B1.clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn_B1, 0.0)
