"""Tokenised samples held flat, and the padded batches that go through a model."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_parquet
from prunegrid.core.ragged import Ints, flat_indices, offsets_from_lengths, positions
from prunegrid.experiment import layout
from prunegrid.scoring.tokenise import tokenise_all

PADDING = 0.05
Shard = tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """N samples: `ids_T` holds prompt and response of the first, then of the second, ..."""

    sample_id_N: Ints
    prompt_N: Ints
    response_N: Ints
    truncated_N: NDArray[np.bool_]
    ids_T: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.sample_id_N)

    def take(self, chosen: Ints) -> "Rows":
        """The samples `chosen`, in that order."""
        return Rows(
            self.sample_id_N[chosen],
            self.prompt_N[chosen],
            self.response_N[chosen],
            self.truncated_N[chosen],
            self.ids_T[flat_indices(self.offsets, chosen)],
        )

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
    def response_offsets(self) -> Ints:
        """int64[N + 1]: where each sample's values begin in an array of one value a response token."""
        return offsets_from_lengths(self.response_N)


@dataclass(frozen=True)
class Batch:
    """B samples padded on the right to T tokens, and the places of their R response tokens, sample by sample."""

    ids_BT: torch.Tensor
    prompt_B: torch.Tensor
    length_B: torch.Tensor
    sample_R: torch.Tensor
    place_R: torch.Tensor
    most_prompt: int
    most_response: int

    @property
    def targets_R(self) -> torch.Tensor:
        return self.ids_BT[self.sample_R, self.place_R]


def read_rows(data: Path, tokenizer: Any, max_length: int, shard: Shard = (1, 1)) -> tuple[Rows, int]:
    """The shard's samples that keep a response token under the cut-off, and the number of those that do not.

    Shard i of n holds rows (i - 1) N // n up to i N // n of the file.
    """
    table = read_parquet(data, ["sample_id", "messages"])
    start, end = ((part * len(table)) // shard[1] for part in (shard[0] - 1, shard[0]))
    ids, facts = array("i"), []
    for chunk in table.slice(start, end - start).to_batches(max_chunksize=1024):
        samples = tokenise_all(chunk["messages"].to_pylist(), tokenizer, max_length)
        for sample_id, tokens in zip(chunk["sample_id"].to_pylist(), samples, strict=True):
            if tokens is not None:
                ids.extend(tokens.prompt_ids)
                ids.extend(tokens.response_ids)
                facts.append((sample_id, len(tokens.prompt_ids), len(tokens.response_ids), tokens.truncated))
    columns = np.array(facts, dtype=np.int64).reshape(-1, 4).T
    rows = Rows(columns[0], columns[1], columns[2], columns[3].astype(bool), np.frombuffer(ids, np.int32))
    return rows, end - start - len(rows)


def stored_rows(scores: Path) -> Rows:
    """The samples of a scores directory, from the token ids that are there."""
    table = read_parquet(scores / layout.TOKENS, ["sample_id", "prompt_ids", "response_ids"])
    prompts, responses = (table[name].combine_chunks() for name in ("prompt_ids", "response_ids"))
    prompt_N, response_N = (
        column.value_lengths().fill_null(0).to_numpy().astype(np.int64) for column in (prompts, responses)
    )
    if len(table) == 0:
        raise PrunegridError(f"{scores}: holds no samples; score again")
    if prompts.null_count or responses.null_count or min(prompt_N.min(), response_N.min()) < 1:
        raise PrunegridError(
            f"{scores}: tokens.parquet has a sample without a prompt or a response token; leave it out"
        )
    ids_T = np.empty(int((prompt_N + response_N).sum()), np.int32)
    of_response = positions(offsets_from_lengths(prompt_N + response_N)) >= np.repeat(prompt_N, prompt_N + response_N)
    ids_T[~of_response] = prompts.flatten().to_numpy()
    ids_T[of_response] = responses.flatten().to_numpy()
    unknown = np.zeros(len(table), bool)
    return Rows(table["sample_id"].to_numpy(), prompt_N, response_N, unknown, ids_T)


def after_prefix(rows: Rows, prefix: int) -> Rows:
    """The same responses after the one token `prefix` instead of their prompts."""
    ids_T = np.full(int((rows.response_N + 1).sum()), prefix, np.int32)
    starts = offsets_from_lengths(rows.response_N + 1)[:-1]
    into = np.ones(len(ids_T), bool)
    into[starts] = False
    of_response = positions(rows.offsets) >= np.repeat(rows.prompt_N, rows.length_N)
    ids_T[into] = rows.ids_T[of_response]
    return Rows(rows.sample_id_N, np.ones_like(rows.prompt_N), rows.response_N, rows.truncated_N, ids_T)


def batches(length_N: Ints, batch_tokens: int, padding: float = PADDING) -> Iterator[Ints]:
    """Indices, longest first, in batches whose padded size is at most `batch_tokens` (or one sample).

    A batch ends, too, where one more sample would make more than the share `padding` of it padding.
    """
    order = np.lexsort((np.arange(len(length_N)), -length_N))
    start = tokens = 0
    for place, length in enumerate(length_N[order].tolist()):
        size = length_N[order[start]] * (place + 1 - start)
        if place > start and (size > batch_tokens or tokens + length < (1 - padding) * size):
            yield order[start:place]
            start, tokens = place, 0
        tokens += length
    if len(order):
        yield order[start:]


def pad(rows: Rows, chosen: Ints, device: Any) -> Batch:
    """The samples `chosen` as one batch; the padding id does not matter, since no real token sees it."""
    length_B, prompt_B, response_B = rows.length_N[chosen], rows.prompt_N[chosen], rows.response_N[chosen]
    own_BT = np.arange(length_B.max()) < length_B[:, None]
    ids_BT = np.zeros(own_BT.shape, np.int64)
    ids_BT[own_BT] = rows.ids_T[flat_indices(rows.offsets, chosen)]
    offsets = offsets_from_lengths(response_B)
    parts = {
        "ids_BT": ids_BT,
        "prompt_B": prompt_B,
        "length_B": length_B,
        "sample_R": np.repeat(np.arange(len(chosen)), response_B),
        "place_R": np.repeat(prompt_B, response_B) + positions(offsets),
    }
    tensors = to_device(parts, device)
    return Batch(**tensors, most_prompt=int(prompt_B.max()), most_response=int(response_B.max()))


def to_device(arrays: dict[str, Ints], device: Any) -> dict[str, torch.Tensor]:
    """The arrays as int64 tensors on the device, by one copy; to a GPU from pinned memory, which nobody waits for."""
    flat_T = torch.from_numpy(np.concatenate([array.ravel() for array in arrays.values()]))
    if torch.device(device).type == "cuda":
        flat_T = flat_T.pin_memory()
    parts = flat_T.to(device, non_blocking=True).split([array.size for array in arrays.values()])
    return {name: part.view(array.shape) for (name, array), part in zip(arrays.items(), parts, strict=True)}
