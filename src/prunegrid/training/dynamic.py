"""Dynamic pruning: the candidates of every mini-batch are scored with the weights of the moment, and pruned.

The paper's method (arXiv 2509.23873, section 3 and Algorithm 1). The scores are the scoring pass's own (`candidates`)
and made in every step, or less often (`rescoring`). The pruners are those of the static path; the window is the
mini-batch.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Ints
from prunegrid.core.randomness import uniform
from prunegrid.pruners import Draw, Match, PruningSpec, Scores, Selection, select
from prunegrid.pruners.columns import ATTENTION_SCORES
from prunegrid.selection.summary import SelectionSummary, Totals
from prunegrid.training.candidates import CandidateScorer
from prunegrid.training.rescoring import RescoreInterval
from prunegrid.training.samples import Samples
from prunegrid.training.schedule import Example, MicroBatches

PROBE_SAMPLES = 100
LOG_SCHEMA = pa.schema(
    {
        "epoch": pa.int32(),
        "step": pa.int32(),
        "rank": pa.int32(),
        "sample_id": pa.int64(),
        "kept": pa.int32(),
        "quadrant": pa.int8(),
        "reason": pa.string(),
        "treated_as": pa.int8(),
    }
)


class StepPosition(NamedTuple):
    """Where training is: `progress` is the share of all steps that are done."""

    epoch: int
    step: int
    rank: int
    progress: float


class MiniBatchPruner:
    """Prunes the mini-batches of one rank."""

    def __init__(self, samples: Samples, pruning: PruningSpec, seed: int, batch_tokens: int) -> None:
        self.samples, self.rows, self.pruning, self.seed = samples, samples.rows, pruning, seed
        self.log: list[pa.Table] = []
        specs = filter(None, (pruning, pruning.matched))
        wanted = {column for spec in specs for column in spec.needs.tokens}
        self.candidates = CandidateScorer(self.rows, batch_tokens, bool(wanted & set(ATTENTION_SCORES)))

    def attach(self, model: Any, ask: Any, most: Any) -> None:
        """The model whose weights score; refused where a pruner needs an attention that cannot be reached.

        `ask(run)` calls the wrapped model, `most(n)` is the maximum over ranks.
        """
        reason = self.candidates.attach(model, ask, most)
        if reason:
            raise PrunegridError(f"{self.pruning.method} needs attention scores, but {reason}; choose another pruner")

    def keep(self, micro_batches: MicroBatches, moment: StepPosition, scores: Scores) -> list[list[Example]]:
        """What is kept of each mini-batch, as it is trained on; the log has a row for each kept sample.

        `scores` are of all candidates of the mini-batches, in their order.
        """
        kept, start = [], 0
        for batch in micro_batches:
            part = np.arange(start, start + len(batch))
            start += len(batch)
            kept.append(self._prune(scores.take(part), np.array(batch), moment) if batch else [])
        return kept

    def _prune(self, candidates: Scores, rows: Ints, moment: StepPosition) -> list[Example]:
        match = None
        draw = Draw(self.seed, moment.epoch, moment.step, moment.progress)
        if other := self.pruning.matched:
            like = select(candidates, other, draw)
            match = Match(len(like), len(like.positions))
        selection = select(candidates, self.pruning, draw, match)
        self.log.append(log_rows(selection, moment))
        row_of = dict(zip(self.rows.sample_id_N[rows].tolist(), rows.tolist(), strict=True))
        return [
            self.samples.example(row_of[sample_id], selection.kept(i).tolist(), float(selection.weight[i]))
            for i, sample_id in enumerate(selection.sample_id.tolist())
        ]

    def probe(self, rank: int, ranks: int) -> tuple[float, float, int]:
        """This rank's sums of PPL and entropy over its share of a fixed choice of samples, and their number."""
        luck_N = uniform(self.seed, "probe", self.rows.sample_id_N)
        chosen = np.sort(np.lexsort((self.rows.sample_id_N, luck_N))[:PROBE_SAMPLES])[rank::ranks]
        found = self.candidates.score(chosen).samples
        return float(found["ppl"].sum()), float(found["entropy"].sum()), len(chosen)


def log_rows(selection: Selection, moment: StepPosition) -> pa.Table:
    n = len(selection)
    return pa.table(
        [
            np.full(n, moment.epoch),
            np.full(n, moment.step),
            np.full(n, moment.rank),
            selection.sample_id,
            np.diff(selection.offsets),
            selection.quadrant,
            selection.reason.tolist(),
            selection.treated_as,
        ],
        names=LOG_SCHEMA.names,
    ).cast(LOG_SCHEMA)


def summarise(
    dynamic: MiniBatchPruner,
    candidates: Ints,
    cell_seed: int,
    digests: dict[str, str],
    log: pa.Table,
    every: RescoreInterval = 1,
) -> SelectionSummary:
    """`selection.json` of a dynamic cell; its counts are over all mini-batches.

    `candidates` are the rows of all samples of all mini-batches: one that comes in three epochs counts thrice.
    `every` is `training.rescore_every`, which is recorded where it is not 1.
    """
    pruning, rows = dynamic.pruning, dynamic.rows
    row_of = dict(zip(rows.sample_id_N.tolist(), range(len(rows)), strict=True))
    kept_rows = np.array([row_of[number] for number in log["sample_id"].to_pylist()], dtype=np.int64)
    totals = Totals(
        samples=len(candidates),
        response_tokens=int(rows.response_N[candidates].sum()),
        all_tokens=int(rows.length_N[candidates].sum()),
        kept_samples=len(log),
        kept_tokens=int(pa.compute.sum(log["kept"]).as_py()),
        response_tokens_of_kept=int(rows.response_N[kept_rows].sum()),
        prompt_tokens_of_kept=int(rows.prompt_N[kept_rows].sum()),
    )
    return SelectionSummary.build(
        "dynamic",
        pruning,
        totals,
        {},
        match=pruning.match and pruning.match.variant,
        pruning=pruning,
        rescore_every=every,
        counts={name: _counts(log[name]) for name in ("quadrant", "reason", "treated_as")},
        seeds={"cell": cell_seed, "pruning": dynamic.seed},
        digests=digests,
        extras={},
    )


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(count["values"]): count["counts"] for count in column.value_counts().to_pylist()}
