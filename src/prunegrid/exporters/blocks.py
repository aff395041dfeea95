"""A block of scored samples with what a selection keeps of them, as rows for a trainer."""

from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.examples import Answer, Example, build_conversation


class KeptAnswer(NamedTuple):
    """An answer that a row learns: its turn in the source, the positions that are kept of its `length` tokens.

    `start` is where the row's ids have its first token, if none are dropped.
    """

    sample_id: int
    turn: int | None
    kept: list[int]
    length: int
    truncated: bool
    start: int


class KeptRow(NamedTuple):
    """A row of an export: a sample, or a conversation with its kept answers. `row` is its row in the source."""

    example: Example
    row: int | None
    answers: list[KeptAnswer]

    @property
    def is_whole(self) -> bool:
        """Whether every token of its answers is kept."""
        return all(len(answer.kept) == answer.length for answer in self.answers)


class Block:
    """Consecutive scored samples with their ids, and what the selection keeps of them."""

    def __init__(self, facts: pa.Table, sequences: Sequences, chosen_N: NDArray[np.bool_], kept: pa.Table) -> None:
        self.facts, self.sequences, self.chosen_N = facts, sequences, chosen_N
        lists = kept["kept"].combine_chunks()
        self.offsets = ragged.offsets_from_lengths(lists.value_lengths().to_numpy().astype(np.int64))
        self.positions = lists.flatten().to_numpy().astype(np.int64)
        self.weights: list[float] = kept["weight"].to_pylist()

    def check_positions(self, path: Path, ends: bool) -> None:
        """Refuse positions that do not ascend or lie outside of the response, and, with `ends`, one without its end."""
        chosen = np.flatnonzero(self.chosen_N)
        length, count = self.sequences.response_N[chosen], np.diff(self.offsets)
        sample = np.repeat(np.arange(len(chosen)), count)
        steps = np.diff(self.positions, prepend=-1)
        steps[self.offsets[:-1][count > 0]] = 1
        bad = (self.positions < 0) | (self.positions >= length[sample]) | (steps <= 0)
        last = np.full(len(chosen), -1)
        last[count > 0] = self.positions[self.offsets[1:][count > 0] - 1]
        endless = ends & (count > 0) & (last != length - 1) & ~self.sequences.truncated_N[chosen]
        for rows, problem in (
            (sample[bad], "keeps positions that are not in the response, or not in order"),
            (np.flatnonzero(endless), "does not keep the end of its response"),
        ):
            if len(rows):
                sample_id = self.sequences.sample_id_N[chosen[rows[0]]]
                raise PrunegridError(path, f"sample_id {sample_id} {problem}", "prune again")

    def rows(self, removal: str) -> Iterator[KeptRow]:
        """A row for each sample, or conversation, of which an answer is kept."""
        chosen = np.flatnonzero(self.chosen_N)
        turns, rows = self._place("turn"), self._place("row")
        kept = zip(heads(self.facts)[chosen].tolist(), chosen.tolist(), self._kept(), self.weights, strict=True)
        for head, group in groupby(kept, lambda answer: answer[0]):
            positions = {i: (kept, weight) for _, i, kept, weight in group}
            example = self._example(head, positions, removal)
            answers = [self._answer(head, i, turns[i], kept) for i, (kept, _) in positions.items()]
            yield KeptRow(example, rows[head], answers)

    def _example(self, head: int, positions: dict[int, tuple[list[int], float]], removal: str) -> Example:
        """The conversation from its first answer `head` on; answers that are not kept are context."""
        answers = [
            Answer(*self.sequences.ids(i), *positions.get(i, (None, 1.0))) for i in range(head, max(positions) + 1)
        ]
        return build_conversation(int(self.sequences.sample_id_N[head]), answers, removal)

    def _answer(self, head: int, i: int, turn: int | None, kept: list[int]) -> KeptAnswer:
        sequences = self.sequences
        length, truncated = int(sequences.response_N[i]), bool(sequences.truncated_N[i])
        start = int(sequences.length_N[head : i + 1].sum()) - length
        return KeptAnswer(int(sequences.sample_id_N[i]), turn, kept, length, truncated, start)

    def _kept(self) -> Iterator[list[int]]:
        for start, end in pairwise(self.offsets.tolist()):
            yield self.positions[start:end].tolist()

    def _place(self, name: str) -> list[Any]:
        return self.facts[name].to_pylist() if name in self.facts.column_names else [None] * len(self.facts)


def heads(facts: pa.Table) -> NDArray[np.int64]:
    """int64[N]: for each sample the one that its conversation begins with, itself where it continues none."""
    order = np.arange(len(facts))
    if "continues" not in facts.column_names:
        return order
    return np.maximum.accumulate(np.where(facts["continues"].to_numpy(), 0, order))


def read_sequences(path: Path, facts: pa.Table, tokens: pa.Table | None) -> Sequences:
    """The ids of a block, from its part `tokens` of the file `path`; its samples must be those of `facts`."""
    if tokens is None or not np.array_equal(tokens["sample_id"].to_numpy(), facts["sample_id"].to_numpy()):
        raise other_samples(path)
    lists = (tokens[name].combine_chunks() for name in ("prompt_ids", "response_ids"))
    truncated = facts["truncated"].to_numpy().astype(bool)
    return Sequences.from_lists(facts["sample_id"].to_numpy(), truncated, *lists)


def other_samples(path: Path) -> PrunegridError:
    return PrunegridError(path, "its sample_id are not those of samples.parquet in the same order", "score again")
