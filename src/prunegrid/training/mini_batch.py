"""What is kept of one mini-batch: by the pruners, after the epoch's choice of samples, after a second cut."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prunegrid.core.ragged import Ints
from prunegrid.pruners import (
    Choice,
    Draw,
    KeptSamples,
    Match,
    PruningSpec,
    Scores,
    SelectionArrays,
    choose_samples,
    choose_tokens,
    pruner_names,
    require_tokens,
    select_tokens,
)
from prunegrid.training.schedule import second_cut


@dataclass(frozen=True)
class SampleStage:
    """Where a mini-batch's samples are chosen: here, unless `epoch_choice` says of its rows what the epoch chose.

    `second_ratio` is the share of them that `prune_twice` leaves.
    """

    epoch_choice: Callable[[Ints], KeptSamples] | None = None
    second_ratio: float | None = None

    def select(
        self, scores: Scores, rows: Ints, spec: PruningSpec, draw: Draw, match: Match | None = None
    ) -> SelectionArrays:
        """The samples and tokens to keep of a mini-batch, which is `rows` of all the data."""
        order = np.argsort(scores.sample_id, kind="stable")
        scores, rows = scores.take(order), rows[order]
        require_tokens(scores, spec)
        choice = self._choose(scores, rows, spec, draw, match)
        (selection,) = select_tokens(choice, lambda: [scores.take(choice.rows)])
        return selection

    def _choose(self, scores: Scores, rows: Ints, spec: PruningSpec, draw: Draw, match: Match | None) -> Choice:
        """Samples first, then the second cut of them, then the numbers of tokens of those that are left."""
        if self.epoch_choice:
            kept, samples = self._cut(scores, np.arange(len(rows)), self.epoch_choice(rows), draw)
            return choose_tokens(scores, kept, samples, spec, draw)
        choice = choose_samples(scores, spec, draw, match)
        if self.second_ratio is None:
            return choice
        kept, samples = self._cut(scores, choice.rows, choice.samples, draw)
        if pruner_names(spec.method)[1]:
            return choose_tokens(scores, kept, samples, spec, draw)
        return choice.take(np.searchsorted(choice.rows, kept))

    def _cut(self, scores: Scores, kept: Ints, samples: KeptSamples, draw: Draw) -> tuple[Ints, KeptSamples]:
        if self.second_ratio is None:
            return kept, samples
        survivors = second_cut(scores.sample_id[kept], draw.cell_seed, draw.epoch, self.second_ratio)
        return kept[survivors], samples.take(survivors)
