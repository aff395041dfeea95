"""What a dynamic cell trains on: each step's candidates are scored with the current weights and pruned.

At every epoch's start, and at the end, a fixed choice of samples is probed.
"""

from typing import Any

import torch

from prunegrid.core.randomness import derive_seed
from prunegrid.scoring.sequences import Sequences
from prunegrid.training.counters import Counters
from prunegrid.training.dynamic import MiniBatchPruner, StepPosition
from prunegrid.training.job import Order
from prunegrid.training.rescoring import Rescoring
from prunegrid.training.samples import Samples
from prunegrid.training.schedule import Example, MicroBatches, schedule, steps_per_epoch


class DynamicExamples:
    """One rank's examples. `trainer` must be set before the first step: it has the model whose weights score."""

    def __init__(self, order: Order, rows: Sequences, counters: Counters) -> None:
        job, training = order.job, order.job.training
        assert job.pruning, "a dynamic cell has a pruning"
        self.rows, self.counters = rows, counters
        self.plan = schedule(rows.sample_id_N, len(rows), training, job.seed, counters.rank)
        pass_tokens = max(1, training.batch_tokens >> order.halvings)
        samples, seed = Samples(rows, training.removal), derive_seed(job.seed, "pruning")
        self.pruner = MiniBatchPruner(samples, job.pruning, seed, pass_tokens)
        self.pruner.log, self.pruner.candidates.counts = counters.log, counters.counts
        self.epoch_steps = steps_per_epoch(len(rows), training)
        score = self.pruner.candidates.score
        self.rescoring = Rescoring(self.plan, self.epoch_steps, training.rescore_every, score, counters)
        self.trainer: Any = None

    def take(self, micro_batches: MicroBatches, step: int) -> list[list[Example]]:
        """The examples of each micro-batch of this step."""
        self._attach_model()
        self.trainer.current = self.rows.sample_id_N[[row for batch in micro_batches for row in batch]].tolist()
        if step % self.epoch_steps == 0:
            self.probe()
        position = StepPosition(step // self.epoch_steps, step, self.counters.rank, step / len(self.plan))
        return self.pruner.prune(micro_batches, position, self.rescoring.scores(step))

    def _attach_model(self) -> None:
        """Only now: DeepSpeed wraps the model after the Trainer is made."""
        if self.pruner.candidates.model is None:
            self.pruner.attach(self.trainer.causal, self.trainer.call_model, self.trainer.maximum)

    def probe(self) -> None:
        """Record mean PPL and entropy of the fixed samples under the current weights (the paper's Figure 8)."""
        self._attach_model()
        trainer = self.trainer
        sums = self.pruner.probe(self.counters.rank, trainer.args.world_size)
        own_sums = torch.tensor([sums], dtype=torch.float64, device=trainer.args.device)
        ppl, entropy, number = trainer.accelerator.gather(own_sums).sum(0).tolist()
        probe = {"step": trainer.state.global_step, "ppl": ppl / number, "entropy": entropy / number}
        self.counters.probes.append(probe)
