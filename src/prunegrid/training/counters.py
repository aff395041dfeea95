"""What a training job has done so far on one rank, saved in its checkpoints: counts, seconds, selection log, probes."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prunegrid.core.files import read_json, read_parquet, write_json, write_parquet
from prunegrid.core.ragged import Floats
from prunegrid.selection.examples import Example


@dataclass
class VisitLosses:
    """The loss of each sample at its last visit (`prune_samples: epoch`).

    `last_N`, of the epochs before, is the same on all ranks. `seen_N`, of the current epoch, is this rank's own, and
    not a number for samples that it has not seen yet.
    """

    last_N: Floats
    seen_N: Floats

    def close(self, gather: Callable[[Floats], Floats]) -> None:
        """End the epoch: all ranks take over what any of them saw. `gather` returns an array [N] of every rank."""
        of_ranks = gather(self.seen_N)
        seen = ~np.isnan(of_ranks)  # an epoch shows a sample to one rank at most
        self.last_N = np.where(seen.any(0), np.where(seen, of_ranks, 0).sum(0), self.last_N)
        self.seen_N = np.full(len(self.last_N), np.nan)


class Counters:
    """`counts` has trained and forwarded tokens, learned ends of sequences, positions (padding included) and forward
    passes. A job that an older version began has not counted the ends, and does not begin to.

    `unlogged` is the sum of losses since the step after which one was last logged, and that step. `scores` are those
    that dynamic mode has computed for the candidates of later steps (`rescoring`), `losses` those of the last visits.
    """

    def __init__(self, rank: int) -> None:
        self.rank, self.earlier_seconds = rank, 0.0
        self.start: float | None = None
        self.counts: Counter[str] = Counter(end_tokens=0)
        self.probes: list[dict[str, float]] = []
        self.log: list[pa.Table] = []
        self.resumed: list[int] = []
        self.saved = 0
        self.unlogged: tuple[float, int] = (0.0, 0)
        self.scores: pa.Table | None = None
        self.losses: VisitLosses | None = None

    @property
    def seconds(self) -> float:
        """In the training loop, over all attempts; steps that were lost do not count."""
        return self.earlier_seconds + (time.monotonic() - self.start if self.start else 0.0)

    def begin(self) -> None:
        """The first step of this attempt begins."""
        self.start = self.start or time.monotonic()

    def count(self, examples: list[list[Example]], inputs: list[dict[str, Any]]) -> None:
        samples = [example for batch in examples for example in batch]
        self.counts["samples"] += sum(example.answers for example in samples)
        self.counts["trained_tokens"] += sum(example.trainable for example in samples)
        if "end_tokens" in self.counts:
            self.counts["end_tokens"] += sum(example.ends for example in samples)
        self.counts["forwarded_tokens"] += sum(len(example.ids) for example in samples)
        self.counts["positions"] += sum(pass_inputs["input_ids"].numel() for pass_inputs in inputs)
        self.counts["passes"] += len(inputs)

    def save(self, folder: Path) -> None:
        state = {"counts": self.counts, "probes": self.probes, "seconds": self.seconds, "resumed": self.resumed}
        write_json(folder / f"account-{self.rank}.json", state | {"unlogged": self.unlogged})
        if self.log:
            self.log[:] = [pa.concat_tables(self.log)]
            write_parquet(folder / f"selection_log-{self.rank}.parquet", self.log[0])
        if self.scores is not None:
            write_parquet(folder / f"scores-{self.rank}.parquet", self.scores)
        if self.losses is not None:
            write_parquet(folder / f"losses-{self.rank}.parquet", pa.table(vars(self.losses)))

    def load(self, folder: Path, step: int) -> None:
        state = read_json(folder / f"account-{self.rank}.json")
        self.counts, self.probes, self.earlier_seconds = Counter(state["counts"]), state["probes"], state["seconds"]
        self.resumed, self.saved, self.unlogged = [*state["resumed"], step], step, state["unlogged"]
        log = folder / f"selection_log-{self.rank}.parquet"
        self.log[:] = [read_parquet(log)] if log.exists() else []
        scores = folder / f"scores-{self.rank}.parquet"
        self.scores = read_parquet(scores) if scores.exists() else None
        losses = folder / f"losses-{self.rank}.parquet"
        if losses.exists():
            table = read_parquet(losses)
            self.losses = VisitLosses(*(table[name].to_numpy().copy() for name in ("last_N", "seen_N")))
