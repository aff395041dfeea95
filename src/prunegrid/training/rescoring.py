"""`training.rescore_every`: how long the candidates' scores of dynamic mode are used before new ones are made.

The steps of an epoch are cut into blocks of k, or the whole epoch is one. At a block's first step the candidates of all
its steps are scored together, in full passes, with the weights of that moment. What later steps will use is part
of a checkpoint, since after a restart the weights that made it are gone.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa

from prunegrid.core.ragged import Ints, offsets_from_lengths
from prunegrid.pruners import Scores
from prunegrid.training.counters import Counters
from prunegrid.training.schedule import MicroBatches

RescoreInterval = int | Literal["epoch"]
SAMPLE_PREFIX, TOKEN_PREFIX = "sample/", "token/"


def scoring_block(step: int, each: int, steps: int, every: RescoreInterval) -> range:
    """The steps that are scored with this one, where an epoch has `each` and the job `steps`.

    Blocks begin anew with every epoch, and the last of an epoch may be shorter.
    """
    size, epoch = each if every == "epoch" else every, step - step % each
    start = step - (step - epoch) % size
    return range(start, min(start + size, epoch + each, steps))


class Rescoring:
    """Gives each step of one rank's `plan` the scores of its candidates. All ranks score at the same steps."""

    def __init__(
        self,
        plan: list[MicroBatches],
        each: int,
        every: RescoreInterval,
        score: Callable[[Ints], Scores],
        account: Counters,
    ) -> None:
        self.plan, self.each, self.every, self.score, self.account = plan, each, every, score, account

    def scores(self, step: int) -> Scores:
        """Of the step's candidates, in the order of its micro-batches. Steps are asked for in their order."""
        block = scoring_block(step, self.each, len(self.plan), self.every)
        if len(block) == 1:
            return self.score(self._rows(block))
        if step == block.start:
            self.account.scores = to_table(self.score(self._rows(block)))
        unused = self.account.scores
        assert unused is not None, f"step {step} is within a block, whose scores the checkpoint has not"
        number = len(self._rows(range(step, step + 1)))
        self.account.scores = unused.slice(number) if step + 1 < block.stop else None
        return from_table(unused.slice(0, number))

    def _rows(self, steps: range) -> Ints:
        return np.array([row for step in steps for batch in self.plan[step] for row in batch], dtype=np.int64)


def to_table(scores: Scores) -> pa.Table:
    """A row a sample; token columns are lists."""
    assert scores.prompt_tokens is not None
    columns = {name: getattr(scores, name) for name in ("sample_id", "response_tokens", "truncated", "prompt_tokens")}
    columns |= {SAMPLE_PREFIX + name: values for name, values in scores.samples.items()}
    offsets = pa.array(scores.offsets)
    lists = {
        TOKEN_PREFIX + name: pa.LargeListArray.from_arrays(offsets, values) for name, values in scores.tokens.items()
    }
    return pa.table(columns | lists)


def from_table(table: pa.Table) -> Scores:
    """The very numbers that `to_table` was given."""
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
