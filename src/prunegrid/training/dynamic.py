"""Dynamic pruning: the candidates of every mini-batch are scored with the current weights, and pruned.

The paper's method (arXiv 2509.23873, section 3 and Algorithm 1). The scores are computed as in the scoring pass
(`candidates`), at every step or less often (`rescoring`). The pruners are those of the static path; their window is the
mini-batch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.core.randomness import uniform
from prunegrid.pruners import Draw, Match, PruningSpec, Scores, select
from prunegrid.pruners.columns import ATTENTION_SCORES
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.examples import Example
from prunegrid.training.candidates import CallModel, CandidateScorer
from prunegrid.training.counters import Counters
from prunegrid.training.dynamic_summary import Candidates, StepPosition, log_rows
from prunegrid.training.epochs import EpochPlans
from prunegrid.training.job import Order
from prunegrid.training.mini_batch import SampleStage
from prunegrid.training.optional_scores import NONE, OptionalScores, optional_scores
from prunegrid.training.rescoring import Rescoring
from prunegrid.training.samples import Samples, second_ratio
from prunegrid.training.schedule import MicroBatches, constant_timetable, schedule

PROBE_SAMPLES = 100
PRUNED_HERE = SampleStage()


class MiniBatchPruner:
    """Prunes the mini-batches of one rank; `log` has a row for each kept sample."""

    def __init__(
        self,
        samples: Samples,
        pruning: PruningSpec,
        cell_seed: int,
        batch_tokens: int,
        optional: OptionalScores = NONE,
        stage: SampleStage = PRUNED_HERE,
    ) -> None:
        self.stage = stage
        self.samples, self.rows, self.pruning, self.cell_seed = samples, samples.rows, pruning, cell_seed
        self.log: list[pa.Table] = []
        attention = bool(pruning.columns & set(ATTENTION_SCORES))
        self.candidates = CandidateScorer(self.rows, batch_tokens, attention, optional)

    def attach(self, model: Any, call_model: CallModel, maximum: Callable[[int], int]) -> None:
        """Use this model's weights for scoring; refuse a pruner that needs attention scores the model cannot give.

        `call_model(run)` runs within a call of the wrapped model, `maximum(n)` is over all ranks.
        """
        reason = self.candidates.attach(model, call_model, maximum)
        if reason:
            problem = f"{self.pruning.method} needs attention scores, but {reason}"
            raise PrunegridError("variants", problem, "choose another pruner")

    def prune(self, micro_batches: MicroBatches, position: StepPosition, scores: Scores) -> list[list[Example]]:
        """The examples that each mini-batch is trained on.

        `scores` are those of all candidates of the mini-batches, in their order.
        """
        examples, start = [], 0
        for batch in micro_batches:
            part = np.arange(start, start + len(batch))
            start += len(batch)
            examples.append(self._prune_batch(scores.take(part), np.array(batch), position) if batch else [])
        return examples

    def _prune_batch(self, candidates: Scores, rows: Ints, position: StepPosition) -> list[Example]:
        match = None
        draw = Draw(self.cell_seed, position.epoch, position.step, position.progress)
        if matched := self.pruning.counterpart:
            matched_selection = select(candidates, matched, draw)
            match = Match(len(matched_selection), len(matched_selection.positions))
        selection = self.stage.select(candidates, rows, self.pruning, draw, match)
        self.log.append(log_rows(selection, position))
        row_of = dict(zip(self.rows.sample_id_N[rows].tolist(), rows.tolist(), strict=True))
        prompt_kept = [None] * len(selection) if selection.prompt_kept is None else selection.prompt_kept.tolist()
        return [
            self.samples.example(
                row_of[sample_id], selection.kept_positions(i).tolist(), float(selection.weight[i]), prompt_kept[i]
            )
            for i, sample_id in enumerate(selection.sample_id.tolist())
        ]

    def probe(self, rank: int, ranks: int) -> tuple[float, float, int]:
        """This rank's sums of PPL and entropy over its share of a fixed choice of samples, and their number."""
        luck_N = uniform(Draw(self.cell_seed).seed, "probe", self.rows.sample_id_N)
        own_rows = np.sort(np.lexsort((self.rows.sample_id_N, luck_N))[:PROBE_SAMPLES])[rank::ranks]
        scores = self.candidates.score(own_rows).samples
        return float(scores["ppl"].sum()), float(scores["entropy"].sum()), len(own_rows)


class DynamicExamples:
    """One rank's examples: each step's candidates are scored with the current weights and pruned.

    At every epoch's start, and at the end, a fixed choice of samples is probed. `trainer` must be set before the first
    step: it has the model whose weights score.
    """

    def __init__(self, order: Order, rows: Sequences, counters: Counters) -> None:
        job, training = order.job, order.job.training
        assert job.pruning, "a dynamic cell has a pruning"
        self.job, self.rows, self.counters, self.candidates = job, rows, counters, len(rows)
        self.epochs = EpochPlans(job, rows, counters) if training.prune_samples == "epoch" else None
        if self.epochs:
            self.timetable, self.plan = self.epochs.timetable, self.epochs.plan
            stage = SampleStage(self.epochs.samples, self.epochs.late_ratio)
        else:
            self.timetable = constant_timetable(len(rows), len(rows), training)
            self.plan = dict(enumerate(schedule(rows.sample_id_N, len(rows), training, job.seed, counters.rank)))
            stage = SampleStage(None, second_ratio(job))
        pass_tokens = max(1, training.batch_tokens >> order.halvings)
        samples, optional = Samples(rows, training.removal), optional_scores(job)
        self.pruner = MiniBatchPruner(samples, job.pruning, job.seed, pass_tokens, optional, stage)
        self.pruner.log, self.pruner.candidates.counts = counters.log, counters.counts
        score = self.pruner.candidates.score
        self.rescoring = Rescoring(self.plan, self.timetable, training.rescore_every, score, counters)
        self.trainer: Any = None

    def take(self, step: int) -> list[list[Example]]:
        """The examples of each micro-batch of this step."""
        self._attach_model()
        if self.epochs:
            self.epochs.begin(step, self._gather)
        micro_batches, epoch = self.plan[step], self.timetable.epoch(step)
        self.trainer.current = self.rows.sample_id_N[[row for batch in micro_batches for row in batch]].tolist()
        if step == self.timetable.starts[epoch]:
            self.probe()
        position = StepPosition(epoch, step, self.counters.rank, step / self.timetable.steps)
        scores = self.rescoring.scores(step)
        if self.epochs:
            self.epochs.visit(micro_batches, scores)
        return self.pruner.prune(micro_batches, position, scores)

    def _gather(self, values: Floats) -> Floats:
        """The values [K] of every rank, float64[ranks, K]."""
        own_row = torch.from_numpy(values[None]).to(self.trainer.args.device)
        rows: Floats = self.trainer.accelerator.gather(own_row).cpu().numpy()
        return rows

    def _attach_model(self) -> None:
        """Only now: DeepSpeed wraps the model after the Trainer is made."""
        if self.pruner.candidates.model is None:
            self.pruner.attach(self.trainer.causal, self.trainer.call_model, self.trainer.maximum)

    def all_candidates(self) -> Candidates:
        """Those of all ranks. An epoch's choice is from all the data; of an epoch that is cut short, a part counts."""
        rows, ids, training = self.rows, self.rows.sample_id_N, self.job.training
        if self.epochs:
            passes = self.timetable.passes(self.timetable.steps)
            numbers = len(rows), int(rows.response_N.sum()), int(rows.length_N.sum())
            return Candidates(*(round(passes * number) for number in numbers))
        plans = [schedule(ids, len(ids), training, self.job.seed, rank) for rank in range(training.ranks)]
        seen = [row for plan in plans for step in plan for batch in step for row in batch]
        return Candidates(len(seen), int(rows.response_N[seen].sum()), int(rows.length_N[seen].sum()))

    def probe(self) -> None:
        """Record mean PPL and entropy of the fixed samples under the current weights (the paper's Figure 8)."""
        self._attach_model()
        trainer = self.trainer
        sums = self.pruner.probe(self.counters.rank, trainer.args.world_size)
        ppl, entropy, number = self._gather(np.array(sums, np.float64)).sum(0).tolist()
        probe = {"step": trainer.state.global_step, "ppl": ppl / number, "entropy": entropy / number}
        self.counters.probes.append(probe)
