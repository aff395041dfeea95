"""A job's samples, in the flat arrays of the scores; each becomes an example only in its step."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.parts import parts_columns, read_parts
from prunegrid.core.ragged import Ints
from prunegrid.core.randomness import derive_seed, uniform
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.examples import Answer, Example, build_conversation, build_example
from prunegrid.selection.summary import SelectionSummary
from prunegrid.training.job import Job
from prunegrid.training.schedule import Timetable, constant_timetable, schedule

PROMPT_KEPT = "prompt_kept"  # column of a selection whose pruners choose tokens of prompts too


def response_donors(sample_id_N: Ints, seed: int) -> Ints:
    """For each sample, the index of the sample whose response replaces its own: a random cyclic permutation, so none
    keeps its own."""
    order = np.argsort(uniform(seed, "circle", sample_id_N), kind="stable")
    donor_N = np.empty_like(order)
    donor_N[order] = np.roll(order, 1)
    return donor_N


class Samples:
    """What is trained on: all conversations whole, or of the `rows_N` of a selection the positions that it keeps.

    A conversation is one example with all of its kept answers, a single answer a conversation of its own. `donor_N`, if
    given, are the samples whose responses replace the own ones (`response_donors`).
    """

    def __init__(self, rows: Sequences, removal: str, donor_N: Ints | None = None) -> None:
        self.rows, self.removal, self.donor_N = rows, removal, donor_N
        self.rows_N: Ints = np.arange(len(rows))
        self.kept: pa.ListArray | None = None
        self.weight_N: NDArray[np.float32] = np.ones(len(rows), np.float32)
        self.prompt_kept_N: Ints | None = None
        self._group()

    def select(self, path: Path) -> None:
        """Reduce to what a selection keeps, a file or a folder of parts; refuse one of a sample without scores."""
        chosen = [PROMPT_KEPT] if PROMPT_KEPT in parts_columns(path) else []
        table = read_parts(path, ["sample_id", "kept", "weight", *chosen])
        ids = table["sample_id"].to_numpy()
        order = np.argsort(self.rows.sample_id_N, kind="stable")
        place = np.minimum(np.searchsorted(self.rows.sample_id_N, ids, sorter=order), len(order) - 1)
        rows_N = order[place]
        scored = self.rows.sample_id_N[rows_N] == ids
        if not scored.all():
            raise PrunegridError(path, f"the scores hold {scored.sum()} of its {len(ids)} samples", "prune again")
        by_row = np.argsort(rows_N, kind="stable")  # the answers of a conversation are neighbours
        self.rows_N = rows_N[by_row]
        self.kept, self.weight_N = table["kept"].combine_chunks().take(by_row), table["weight"].to_numpy()[by_row]
        self.prompt_kept_N = table[PROMPT_KEPT].to_numpy()[by_row] if chosen else None
        self._group()

    def _group(self) -> None:
        """Note the conversations that are trained on, and where the kept answers of each begin in `rows_N`."""
        number_N = np.searchsorted(self.rows.conversations.start_C, self.rows_N, side="right") - 1
        self.chosen_C, first_C = np.unique(number_N, return_index=True)
        self.offsets = np.append(first_C, len(number_N))

    @property
    def sample_id_C(self) -> Ints:
        """Of each conversation that is trained on, the id of its first sample."""
        return self.rows.sample_id_N[self.rows.conversations.start_C[self.chosen_C]]

    def __getitem__(self, number: int) -> Example:
        """The example of the `number`-th of the conversations that are trained on."""
        conversations, chosen = self.rows.conversations, self.chosen_C[number]
        start, turns = int(conversations.start_C[chosen]), int(conversations.turns_C[chosen])
        places = range(self.offsets[number], self.offsets[number + 1])
        kept = {int(self.rows_N[place]): place for place in places}
        answers = [self._answer(row, kept.get(row)) for row in range(start, start + turns)]
        return build_conversation(int(self.rows.sample_id_N[start]), answers, self.removal)

    def _answer(self, row: int, place: int | None) -> Answer:
        """The answer `row`; `place` is where the selection keeps it."""
        prompt, response, truncated = self._content(row)
        if place is None:
            return Answer(prompt, response, None)
        positions = range(len(response)) if self.kept is None else self.kept[place].as_py()
        prompt_kept = None if self.prompt_kept_N is None else int(self.prompt_kept_N[place])
        return Answer(prompt, response, positions, float(self.weight_N[place]), prompt_kept, truncated)

    def _content(self, row: int) -> tuple[list[int], list[int], bool]:
        """Prompt and response, and whether that was cut off."""
        prompt, response = self.rows.ids(row)
        if self.donor_N is not None:
            row = int(self.donor_N[row])
            response = self.rows.ids(row)[1]
        return prompt, response, bool(self.rows.truncated_N[row])

    def example(
        self, row: int, kept_positions: list[int] | None, weight: float, prompt_kept: int | None = None
    ) -> Example:
        """The example of a sample that is a conversation of its own."""
        prompt, response, truncated = self._content(row)
        return build_example(
            int(self.rows.sample_id_N[row]), prompt, response, kept_positions, weight, self.removal,
            prompt_kept=prompt_kept,
            truncated=truncated,
        )  # fmt: skip


def static_samples(job: Job, rows: Sequences) -> Samples:
    """What a static or a reference cell trains on."""
    donor_N = response_donors(rows.sample_id_N, derive_seed(job.seed, "shuffled-responses")) if job.shuffled else None
    samples = Samples(rows, job.training.removal, donor_N)
    if job.selection:
        samples.select(job.selection)
    return samples


class Examples(Protocol):
    """One rank's examples, step by step: what is trained on of each micro-batch.

    `candidates` are the samples (conversations) of all the data. Dynamic examples need the trainer, whose model scores.
    """

    timetable: Timetable
    candidates: int
    trainer: Any

    def take(self, step: int, /) -> list[list[Example]]: ...


class StaticExamples:
    """What a static or a reference cell trains on, on one rank."""

    def __init__(self, job: Job, rows: Sequences, rank: int) -> None:
        self.samples = static_samples(job, rows)
        ids, self.candidates = self.samples.sample_id_C, len(rows.conversations)
        self.timetable = constant_timetable(len(ids), self.candidates, job.training)
        self.plan = schedule(ids, self.candidates, job.training, job.seed, rank, second_ratio(job))
        self.trainer: Any = None

    def take(self, step: int) -> list[list[Example]]:
        """The examples of each micro-batch of this step."""
        return [[self.samples[number] for number in batch] for batch in self.plan[step]]


def second_ratio(job: Job) -> float | None:
    """The share of each mini-batch that `prune_twice` leaves, the cell's sample ratio; None: it is not cut again."""
    if not job.training.prune_twice:
        return None
    if job.pruning:
        return job.pruning.sample_ratio
    if job.selection is None:
        return None
    return SelectionSummary.read(job.selection.with_suffix(".json")).nominal["samples"]
