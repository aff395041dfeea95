"""What a training job has done so far on one rank, kept in its checkpoints: counts, seconds, selection log, probes."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from prunegrid.core.files import read_json, read_parquet, write_json, write_parquet
from prunegrid.training.schedule import Example


class Counters:
    """`counts` are of trained and forwarded tokens, of positions (padding included) and of forward passes.
    `unlogged` is the sum of losses since the step after which one was last logged, and that step. `scores` are those
    that dynamic mode has made for the candidates of steps to come (`rescoring`)."""

    def __init__(self, rank: int) -> None:
        self.rank, self.before = rank, 0.0
        self.began: float | None = None
        self.counts: Counter[str] = Counter()
        self.probes: list[dict[str, float]] = []
        self.log: list[pa.Table] = []
        self.resumed: list[int] = []
        self.saved = 0
        self.unlogged: tuple[float, int] = (0.0, 0)
        self.scores: pa.Table | None = None

    @property
    def seconds(self) -> float:
        """In the training loop, over all attempts, as far as their steps count."""
        return self.before + (time.monotonic() - self.began if self.began else 0.0)

    def begin(self) -> None:
        """The first step of this attempt begins."""
        self.began = self.began or time.monotonic()

    def count(self, kept: list[list[Example]], inputs: list[dict[str, Any]]) -> None:
        samples = [one for batch in kept for one in batch]
        self.counts["samples"] += len(samples)
        self.counts["trained_tokens"] += sum(one.trainable for one in samples)
        self.counts["forwarded_tokens"] += sum(len(one.ids) for one in samples)
        self.counts["positions"] += sum(one["input_ids"].numel() for one in inputs)
        self.counts["passes"] += len(inputs)

    def save(self, folder: Path) -> None:
        state = {"counts": self.counts, "probes": self.probes, "seconds": self.seconds, "resumed": self.resumed}
        state["unlogged"] = self.unlogged
        write_json(folder / f"account-{self.rank}.json", state)
        if self.log:
            self.log[:] = [pa.concat_tables(self.log)]
            write_parquet(folder / f"selection_log-{self.rank}.parquet", self.log[0])
        if self.scores is not None:
            write_parquet(folder / f"scores-{self.rank}.parquet", self.scores)

    def load(self, folder: Path, step: int) -> None:
        state = read_json(folder / f"account-{self.rank}.json")
        self.counts, self.probes, self.before = Counter(state["counts"]), state["probes"], state["seconds"]
        self.resumed, self.saved, self.unlogged = [*state["resumed"], step], step, state["unlogged"]
        log = folder / f"selection_log-{self.rank}.parquet"
        self.log[:] = [read_parquet(log)] if log.exists() else []
        scores = folder / f"scores-{self.rank}.parquet"
        self.scores = read_parquet(scores) if scores.exists() else None
