"""`prune_samples: epoch`: a pair's sample pruner chooses from all the data at each epoch's start.

The epoch's mini-batches are of what it keeps, and the token pruner works on each of them (`dynamic`). All ranks choose
the same, since they read the same scores: those of the base model, or losses of the last visits, which are gathered.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.pruners import Draw, KeptSamples, Needs, Scores, choose_samples
from prunegrid.pruners.columns import EPOCH_LOSS
from prunegrid.pruners.epochs import kept_in_epoch
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.sequences import Sequences
from prunegrid.training.counters import Counters, VisitLosses
from prunegrid.training.job import Job
from prunegrid.training.samples import second_ratio
from prunegrid.training.schedule import EpochPlanner, MicroBatches, timetable

Gather = Callable[[Floats], Floats]


class EpochPlans:
    """One rank's micro-batches, epoch by epoch. `plan` has those of the current epoch, by step.

    `late_ratio` is the second cut's share if it is made after scoring: the losses of all visited samples are needed.
    """

    def __init__(self, job: Job, rows: Sequences, counters: Counters) -> None:
        assert job.pruning, "a dynamic cell has a pruning"
        self.job, self.pruning, self.rows, self.counters = job, job.pruning, rows, counters
        self.reads_loss, number = EPOCH_LOSS in job.pruning.needs.samples, len(rows)
        short, ratio = job.training.steps == "kept", second_ratio(job)
        self.timetable = timetable(lambda epoch: self._planned(epoch) if short else number, job.training)
        self.late_ratio = ratio if short and self.reads_loss else None
        self.planner = EpochPlanner(rows.sample_id_N, job.training, job.seed, None if self.late_ratio else ratio)
        self.scores = self._read_scores()
        self.plan: dict[int, MicroBatches] = {}
        self.epoch = -1

    def _planned(self, epoch: int) -> int:
        return kept_in_epoch(self.pruning, len(self.rows), epoch)

    def _read_scores(self) -> Scores:
        """The sample columns that the pruners read of the base model's scores; losses of visits begin with its own."""
        needs = {name: pruner for name, pruner in self.pruning.needs.samples.items() if name != EPOCH_LOSS}
        own_loss = {"nll": self.pruning.method} if self.reads_loss else {}
        scores = ScoresFolder(self.job.scores).read_samples(Needs(needs | own_loss, {}))
        if self.reads_loss and self.counters.losses is None:
            start_N = scores.samples["nll"] * self.rows.response_N / self.rows.length_N
            self.counters.losses = VisitLosses(start_N, np.full(len(start_N), np.nan))
        return scores

    def begin(self, step: int, gather: Gather) -> None:
        """Before each step: at an epoch's first one, choose its samples and plan its steps. Collective at such a step.

        `gather` returns an array [N] of every rank.
        """
        epoch = self.timetable.epoch(step)
        if self.reads_loss and epoch and step == self.timetable.starts[epoch]:
            assert self.counters.losses, "made with the scores"
            self.counters.losses.close(gather)
        if epoch != self.epoch:
            self._choose(epoch)

    def _choose(self, epoch: int) -> None:
        steps = self.timetable.whole(epoch)
        draw = Draw(self.job.seed, epoch, 0, steps.start / self.timetable.steps)
        columns = self.scores.samples | ({EPOCH_LOSS: self.counters.losses.last_N} if self.counters.losses else {})
        order = np.argsort(self.rows.sample_id_N, kind="stable")
        choice = choose_samples(replace(self.scores, samples=columns).take(order), self.pruning, draw)
        if self.job.training.steps == "kept" and len(choice) != self._planned(epoch):
            problem = f"keeps {len(choice)} samples in epoch {epoch + 1}, where {self._planned(epoch)} were expected"
            raise PrunegridError(self.pruning.method, problem, "set training.steps: full")
        rows = order[choice.rows]
        self.kept, self.place_N = choice.samples, np.full(len(order), -1)
        self.place_N[rows] = np.arange(len(rows))
        plan = self.planner.plan(epoch, len(steps), self.counters.rank, rows)
        self.plan.clear()
        self.plan.update(zip(steps, plan, strict=True))
        self.epoch = epoch

    def samples(self, rows: Ints) -> KeptSamples:
        """What the epoch's choice says of these samples, which it keeps."""
        return self.kept.take(self.place_N[rows])

    def visit(self, micro_batches: MicroBatches, scores: Scores) -> None:
        """Note the losses of the candidates of these micro-batches, whose `scores` are in their order.

        As the authors' working copy of September 2025 has it: a sample's loss is its mean over the padded length of its
        micro-batch, prompt and padding counting as 0.
        """
        if not self.counters.losses:
            return
        total_n, start = scores.samples["nll"] * scores.response_tokens, 0
        for batch in filter(None, micro_batches):
            part = slice(start, start := start + len(batch))
            self.counters.losses.seen_N[batch] = total_n[part] / self.rows.length_N[batch].max()
