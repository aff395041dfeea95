"""A job's samples, in the flat arrays of the scores; each becomes an example only in its step."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_parquet
from prunegrid.core.ragged import Ints
from prunegrid.core.randomness import derive_seed, uniform
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.examples import Example, build_example
from prunegrid.training.job import Job
from prunegrid.training.schedule import MicroBatches, schedule


def response_donors(sample_id_N: Ints, seed: int) -> Ints:
    """For each sample, the index of the sample whose response replaces its own: a random cyclic permutation, so none
    keeps its own."""
    order = np.argsort(uniform(seed, "circle", sample_id_N), kind="stable")
    donor_N = np.empty_like(order)
    donor_N[order] = np.roll(order, 1)
    return donor_N


class Samples:
    """What is trained on: all samples whole, or the `rows_N` of a selection with the positions that it keeps.

    `donor_N`, if given, are the samples whose responses replace the own ones (`response_donors`).
    """

    def __init__(self, rows: Sequences, removal: str, donor_N: Ints | None = None) -> None:
        self.rows, self.removal, self.donor_N = rows, removal, donor_N
        self.rows_N: Ints = np.arange(len(rows))
        self.kept: pa.ListArray | None = None
        self.weight_N: NDArray[np.float32] = np.ones(len(rows), np.float32)

    def select(self, path: Path) -> None:
        """Reduce to what `selection.parquet` keeps; refuse one that keeps a sample without scores."""
        table = read_parquet(path, ["sample_id", "kept", "weight"])
        ids = table["sample_id"].to_numpy()
        order = np.argsort(self.rows.sample_id_N, kind="stable")
        place = np.minimum(np.searchsorted(self.rows.sample_id_N, ids, sorter=order), len(order) - 1)
        self.rows_N = order[place]
        scored = self.rows.sample_id_N[self.rows_N] == ids
        if not scored.all():
            raise PrunegridError(path, f"the scores hold {scored.sum()} of its {len(ids)} samples", "prune again")
        self.kept, self.weight_N = table["kept"].combine_chunks(), table["weight"].to_numpy()

    @property
    def sample_id_N(self) -> Ints:
        """Ids of the samples that are trained on."""
        return self.rows.sample_id_N[self.rows_N]

    def __getitem__(self, number: int) -> Example:
        """The example of the `number`-th of the samples that are trained on."""
        row = self.rows_N[number]
        positions = None if self.kept is None else self.kept[number].as_py()
        return self.example(row, positions, float(self.weight_N[number]))

    def example(self, row: int, kept_positions: list[int] | None, weight: float) -> Example:
        prompt, response = self.rows.ids(row)
        if self.donor_N is not None:
            response = self.rows.ids(self.donor_N[row])[1]
        return build_example(int(self.rows.sample_id_N[row]), prompt, response, kept_positions, weight, self.removal)


def static_samples(job: Job, rows: Sequences) -> Samples:
    """What a static or a reference cell trains on."""
    donor_N = response_donors(rows.sample_id_N, derive_seed(job.seed, "shuffled-responses")) if job.shuffled else None
    samples = Samples(rows, job.training.removal, donor_N)
    if job.selection:
        samples.select(job.selection)
    return samples


class Examples(Protocol):
    """One rank's examples: the micro-batches of each step, and what is trained on of them.

    Dynamic ones need the trainer, whose model scores their candidates.
    """

    plan: list[MicroBatches]
    trainer: Any

    def take(self, micro_batches: MicroBatches, step: int, /) -> list[list[Example]]: ...


class StaticExamples:
    """What a static or a reference cell trains on, on one rank."""

    def __init__(self, job: Job, rows: Sequences, rank: int) -> None:
        self.samples = static_samples(job, rows)
        self.plan = schedule(self.samples.sample_id_N, len(rows), job.training, job.seed, rank)
        self.trainer: Any = None

    def take(self, micro_batches: MicroBatches, _step: int) -> list[list[Example]]:
        """The examples of each micro-batch."""
        return [[self.samples[number] for number in batch] for batch in micro_batches]
