"""`training.rescore_every`: how long dynamic mode uses the candidates' scores before it computes new ones.

The steps of an epoch are cut into blocks of k, or the whole epoch is one. At a block's first step the candidates of all
its steps are scored together, in full passes, with the current weights. Scores for later steps are part of a
checkpoint, since after a restart the weights that gave them are gone.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

from prunegrid.core.ragged import Ints, offsets_from_lengths
from prunegrid.pruners import Scores
from prunegrid.training.counters import Counters
from prunegrid.training.schedule import MicroBatches, Timetable

RescoreInterval = int | Literal["epoch"]
SAMPLE_PREFIX, TOKEN_PREFIX = "sample/", "token/"


def scoring_block(step: int, timetable: Timetable, interval: RescoreInterval) -> range:
    """The steps that are scored together with this one.

    Every epoch begins a new block, so that its last one may be shorter.
    """
    epoch = timetable.whole(timetable.epoch(step))
    size = len(epoch) if interval == "epoch" else interval
    start = step - (step - epoch.start) % size
    return range(start, min(start + size, epoch.stop, timetable.steps))


class Rescoring:
    """The scores of the candidates of each step of one rank's `plan`. All ranks score at the same steps."""

    def __init__(
        self,
        plan: Mapping[int, MicroBatches],
        timetable: Timetable,
        interval: RescoreInterval,
        score: Callable[[Ints], Scores],
        counters: Counters,
    ) -> None:
        self.plan, self.timetable, self.interval, self.score = plan, timetable, interval, score
        self.counters = counters

    def scores(self, step: int) -> Scores:
        """The scores of the step's candidates, in the order of its micro-batches. Call it for each step in turn."""
        block = scoring_block(step, self.timetable, self.interval)
        if len(block) == 1:
            return self.score(self._rows(block))
        if step == block.start:
            self.counters.scores = to_table(self.score(self._rows(block)))
        unused = self.counters.scores
        assert unused is not None, f"step {step} is within a block whose scores the checkpoint lacks"
        number = len(self._rows(range(step, step + 1)))
        self.counters.scores = unused.slice(number) if step + 1 < block.stop else None
        return from_table(unused.slice(0, number))

    def _rows(self, steps: range) -> Ints:
        return np.array([row for step in steps for batch in self.plan[step] for row in batch], dtype=np.int64)


def to_table(scores: Scores) -> pa.Table:
    """One row for each sample; token columns are lists."""
    assert scores.prompt_tokens is not None, "the scores of candidates have the lengths of their prompts"
    columns = {name: getattr(scores, name) for name in ("sample_id", "response_tokens", "truncated", "prompt_tokens")}
    columns |= {SAMPLE_PREFIX + name: values for name, values in scores.samples.items()}
    offsets = pa.array(scores.offsets)
    lists = {
        TOKEN_PREFIX + name: pa.LargeListArray.from_arrays(offsets, values) for name, values in scores.tokens.items()
    }
    return pa.table(columns | lists)


def from_table(table: pa.Table) -> Scores:
    """The inverse of `to_table`, bit for bit."""
    arrays = {name: table[name].combine_chunks() for name in table.column_names}
    tokens = {
        name: arrays.pop(name).flatten().to_numpy() for name in table.column_names if name.startswith(TOKEN_PREFIX)
    }
    plain = {name: array.to_numpy(zero_copy_only=False) for name, array in arrays.items()}
    samples = {name: plain.pop(name) for name in list(plain) if name.startswith(SAMPLE_PREFIX)}
    return Scores(
        **plain,
        offsets=offsets_from_lengths(plain["response_tokens"]),
        samples={name.removeprefix(SAMPLE_PREFIX): column for name, column in samples.items()},
        tokens={name.removeprefix(TOKEN_PREFIX): column for name, column in tokens.items()},
    )
