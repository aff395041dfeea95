"""Padded batches of sequences, as tensors on the device that the model is on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prunegrid.core.ragged import Ints, flat_indices, offsets_from_lengths, positions
from prunegrid.scoring.sequences import Sequences

PADDING = 0.05  # largest share of a batch that is padding


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


def batches_by_length(length_N: Ints, batch_tokens: int, padding: float = PADDING) -> Iterator[Ints]:
    """Indices, longest first, in batches whose padded size is at most `batch_tokens`, or of a single sample.

    A batch also ends if one more sample would raise its share of padding above `padding`.
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


def pad(sequences: Sequences, rows: Ints, device: Any) -> Batch:
    """The samples `rows` as one batch. The padding id does not matter: no real token sees it."""
    length_B, prompt_B, response_B = sequences.length_N[rows], sequences.prompt_N[rows], sequences.response_N[rows]
    real_BT = np.arange(length_B.max()) < length_B[:, None]
    ids_BT = np.zeros(real_BT.shape, np.int64)
    ids_BT[real_BT] = sequences.ids_T[flat_indices(sequences.offsets, rows)]
    offsets = offsets_from_lengths(response_B)
    parts = {
        "ids_BT": ids_BT,
        "prompt_B": prompt_B,
        "length_B": length_B,
        "sample_R": np.repeat(np.arange(len(rows)), response_B),
        "place_R": np.repeat(prompt_B, response_B) + positions(offsets),
    }
    tensors = to_device(parts, device)
    return Batch(**tensors, most_prompt=int(prompt_B.max()), most_response=int(response_B.max()))


def to_device(arrays: dict[str, Ints], device: Any) -> dict[str, torch.Tensor]:
    """The arrays as int64 tensors on the device, in one copy: to a GPU from pinned memory, without waiting for it."""
    flat_T = torch.from_numpy(np.concatenate([array.ravel() for array in arrays.values()]))
    if torch.device(device).type == "cuda":
        flat_T = flat_T.pin_memory()
    parts = flat_T.to(device, non_blocking=True).split([array.size for array in arrays.values()])
    return {name: part.view(array.shape) for (name, array), part in zip(arrays.items(), parts, strict=True)}
