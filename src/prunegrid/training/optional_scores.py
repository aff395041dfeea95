"""Optional scores in dynamic mode: computed with the weights of the moment, or read if no weights change them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners import Needs, PruningSpec, Scores
from prunegrid.pruners.columns import (
    BASE_NLL,
    EPOCH_LOSS,
    EXTRAS,
    FIXED_EXTRAS,
    LAYER_EXTRAS,
    MOMENT_EXTRAS,
    PASS_COLUMNS,
)
from prunegrid.pruners.epochs import choice_columns
from prunegrid.scoring.reader import NO_COLUMNS, ScoresFolder
from prunegrid.scoring.scored_tokenizer import special_ids
from prunegrid.training.job import Job


class FixedColumns(NamedTuple):
    """Columns of some samples that are the same at every step."""

    samples: dict[str, Floats]
    tokens: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class OptionalScores:
    """`computed`: names of `MOMENT_EXTRAS`; `special_ids` are no candidates of theirs. `fixed` has all samples."""

    computed: tuple[str, ...] = ()
    special_ids: Sequence[int] = ()
    fixed: Scores | None = None

    def take(self, rows_N: Ints) -> FixedColumns:
        """The fixed columns of these rows of the scores."""
        if self.fixed is None:
            return FixedColumns({}, {})
        taken = self.fixed.take(rows_N)
        return FixedColumns(dict(taken.samples), dict(taken.tokens))


NONE = OptionalScores()


def file_needs(job: Job) -> Needs:
    """The columns that a job reads from the scores' `extra/` folder; a static one has its selection."""
    if job.pruning is None:
        return NO_COLUMNS
    needs = fixed_needs(job.pruning)
    if job.training.prune_samples == "epoch":
        return Needs(needs.samples | choice_columns(job.pruning), needs.tokens)
    return needs


def fixed_needs(pruning: PruningSpec) -> Needs:
    """Those that mini-batches are pruned by: optional scores that no weights change, and columns from outside."""
    computed = {*PASS_COLUMNS, *EXTRAS, EPOCH_LOSS, BASE_NLL} - set(FIXED_EXTRAS)
    needs = [spec.needs for spec in (pruning, pruning.match) if spec]
    samples = {name for each in needs for name in each.samples} - computed
    tokens = {name for each in needs for name in each.tokens} - computed
    return Needs(dict.fromkeys(sorted(samples), pruning.method), dict.fromkeys(sorted(tokens), pruning.method))


def optional_scores(job: Job) -> OptionalScores:
    """What a dynamic job's pruners read beside the scores of every pass."""
    assert job.pruning, "a static job has its selection"
    scores, columns, needs = ScoresFolder(job.scores), job.pruning.columns, fixed_needs(job.pruning)
    if BASE_NLL in columns:
        needs = Needs(needs.samples, needs.tokens | {"nll": job.pruning.method})
    fixed = scores.read(needs) if needs.samples or needs.tokens else None
    if fixed and BASE_NLL in columns:
        fixed.tokens[BASE_NLL] = fixed.tokens.pop("nll")  # the mini-batch has an nll of its own
    computed = tuple(name for name in MOMENT_EXTRAS if name in columns)
    ids = special_ids(scores, job.model) if columns & set(LAYER_EXTRAS) else []
    return OptionalScores(computed, ids, fixed)
