"""Tokenised samples, held flat: all token ids one after another in a single array."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core.ragged import Ints, flat_indices, offsets_from_lengths, positions

Shard = tuple[int, int]
Values = dict[str, NDArray[np.float32]]  # by score column, one value for each response token


@dataclass(frozen=True)
class Sequences:
    """N samples: `ids_T` holds the prompt and response of the first sample, then of the second, ...

    `row_N` and `turn_N` say where an answer stands in the source; scores of version 0.1 do not. `continues_N`, if
    given, marks a sample whose prompt goes on behind the response of the sample before it: the two are one
    conversation, which a model reads in one sequence, and the prompt holds only what is new.
    """

    sample_id_N: Ints
    prompt_N: Ints
    response_N: Ints
    truncated_N: NDArray[np.bool_]
    ids_T: NDArray[np.int32]
    row_N: Ints | None = None
    turn_N: Ints | None = None
    continues_N: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.sample_id_N)

    @classmethod
    def from_lists(
        cls, sample_id_N: Ints, truncated_N: NDArray[np.bool_], prompts: pa.ListArray, responses: pa.ListArray
    ) -> "Sequences":
        """Samples whose prompt and response ids are one list each."""
        prompt_N, response_N = (
            lists.value_lengths().fill_null(0).to_numpy().astype(np.int64) for lists in (prompts, responses)
        )
        ids_T = np.empty(int((prompt_N + response_N).sum()), np.int32)
        sequences = cls(sample_id_N, prompt_N, response_N, truncated_N, ids_T)
        ids_T[~sequences.response_T] = prompts.flatten().to_numpy()
        ids_T[sequences.response_T] = responses.flatten().to_numpy()
        return sequences

    def save(self, folder: Path) -> None:
        """Write each array to a file of its own, for `load`."""
        folder.mkdir(parents=True)
        for column in fields(self):
            if (values := getattr(self, column.name)) is not None:
                np.save(folder / f"{column.name}.npy", values)

    @classmethod
    def load(cls, folder: Path) -> "Sequences":
        """What `save` wrote, mapped into memory: processes on one machine share it."""
        return cls(**{file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")})

    def take(self, rows: Ints) -> "Sequences":
        """The samples `rows`, in that order. One that continues a conversation must follow those that it continues."""
        return Sequences(
            self.sample_id_N[rows],
            self.prompt_N[rows],
            self.response_N[rows],
            self.truncated_N[rows],
            self.ids_T[flat_indices(self.offsets, rows)],
            None if self.row_N is None else self.row_N[rows],
            None if self.turn_N is None else self.turn_N[rows],
            None if self.continues_N is None else self.continues_N[rows],
        )

    def expanded(self) -> "Sequences":
        """The same samples with whole prompts, earlier answers of their conversations included: one sequence each."""
        if self.continues_N is None:
            return self
        first_N = np.repeat(self.conversations.start_C, self.conversations.turns_C)
        length_N = self.offsets[1:] - self.offsets[first_N]
        offsets = offsets_from_lengths(length_N)
        ids_T = self.ids_T[np.repeat(self.offsets[first_N] - offsets[:-1], length_N) + np.arange(offsets[-1])]
        return replace(self, prompt_N=length_N - self.response_N, ids_T=ids_T, continues_N=None)

    def with_prompt(self, token: int) -> "Sequences":
        """The same responses, each after the one token `token` instead of its prompt."""
        ids_T = np.full(int((self.response_N + 1).sum()), token, np.int32)
        changed = replace(self, prompt_N=np.ones_like(self.prompt_N), ids_T=ids_T, continues_N=None)
        ids_T[changed.response_T] = self.ids_T[self.response_T]
        return changed

    def ids(self, row: int) -> tuple[list[int], list[int]]:
        """Prompt and response ids of one sample."""
        start, end = self.offsets[row : row + 2]
        ids: list[int] = self.ids_T[start:end].tolist()
        return ids[: self.prompt_N[row]], ids[self.prompt_N[row] :]

    @cached_property
    def length_N(self) -> Ints:
        """Tokens of prompt and response."""
        return self.prompt_N + self.response_N

    @cached_property
    def offsets(self) -> Ints:
        """int64[N + 1]: where each sample's ids begin."""
        return offsets_from_lengths(self.length_N)

    @cached_property
    def response_T(self) -> NDArray[np.bool_]:
        """bool[T]: whether a token belongs to a response."""
        return positions(self.offsets) >= np.repeat(self.prompt_N, self.length_N)

    @cached_property
    def response_offsets(self) -> Ints:
        """int64[N + 1]: where each sample's values begin in an array with one value for each response token."""
        return offsets_from_lengths(self.response_N)

    @cached_property
    def conversations(self) -> "Conversations":
        """The sequences that a model reads: each sample, with the samples that continue it."""
        start_C = np.arange(len(self)) if self.continues_N is None else np.flatnonzero(~self.continues_N)
        borders = np.append(start_C, len(self))
        return Conversations(
            start_C, np.diff(borders), np.diff(self.offsets[borders]), self.offsets[borders],
            self.response_offsets[borders],
        )  # fmt: skip


@dataclass(frozen=True)
class Conversations:
    """C conversations: the first sample of each, how many it has, its tokens, and where its ids and the values of its
    response tokens begin (int64[C + 1])."""

    start_C: Ints
    turns_C: Ints
    length_C: Ints
    offsets: Ints
    response_offsets: Ints

    def __len__(self) -> int:
        return len(self.start_C)

    def samples(self, chosen: Ints) -> Ints:
        """The samples of the conversations `chosen`, in that order: for `Sequences.take`."""
        return flat_indices(np.append(self.start_C, self.start_C[-1:] + self.turns_C[-1:]), chosen)
