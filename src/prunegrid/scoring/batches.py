"""Padded batches of sequences, as tensors on the device that the model is on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from prunegrid.core.ragged import Ints, flat_indices, offsets_from_lengths, positions
from prunegrid.models.attention_capture import AttentionInputs
from prunegrid.scoring.sequences import Sequences

PADDING = 0.05  # largest share of a batch that is padding


@dataclass(frozen=True)
class Batch:
    """B conversations padded on the right to T tokens, and the places of their R response tokens, one by one.

    `prompt_B` and `length_B` are of the first answer: its start, and the end of the sequence that it ends. If a
    conversation has several answers, `turns` has the first answers of all, then the second ones, ...
    """

    ids_BT: torch.Tensor
    prompt_B: torch.Tensor
    length_B: torch.Tensor
    sample_R: torch.Tensor
    place_R: torch.Tensor
    most_prompt: int
    most_response: int
    turns: tuple["Turn", ...] = ()

    @property
    def targets_R(self) -> torch.Tensor:
        return self.ids_BT[self.sample_R, self.place_R]


@dataclass(frozen=True)
class Turn:
    """The M conversations of a batch that have a t-th answer, as a batch of sequences that end in it.

    `value_R` says where the values of that answer's tokens are among those of the whole batch.
    """

    batch: Batch
    rows_M: torch.Tensor
    value_R: torch.Tensor

    def of(self, hidden_BTD: torch.Tensor) -> torch.Tensor:
        """[M, T', D]: the hidden states up to the longest sequence."""
        return hidden_BTD[self.rows_M, : self.batch.ids_BT.shape[1]]

    def of_layer(self, layer: AttentionInputs) -> AttentionInputs:
        """What the layer received of the M conversations."""
        mask = layer.mask if layer.mask is None or len(layer.mask) == 1 else layer.mask[self.rows_M]
        query_BHTD, key_BGTD = layer.query_BHTD[self.rows_M], layer.key_BGTD[self.rows_M]
        return layer._replace(query_BHTD=query_BHTD, key_BGTD=key_BGTD, mask=mask)


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


def pad(sequences: Sequences, chosen: Ints, device: Any) -> Batch:
    """The conversations `chosen` as one batch. The padding id does not matter: no real token sees it."""
    conversations = sequences.conversations
    length_B = conversations.length_C[chosen]
    samples = conversations.samples(chosen)
    tokens_N, prompts_N = sequences.length_N[samples], sequences.prompt_N[samples]
    real_BT = np.arange(length_B.max()) < length_B[:, None]
    ids_BT = np.zeros(real_BT.shape, np.int64)
    ids_BT[real_BT] = sequences.ids_T[flat_indices(conversations.offsets, chosen)]
    response_BT = np.zeros(real_BT.shape, bool)
    response_BT[real_BT] = positions(offsets_from_lengths(tokens_N)) >= np.repeat(prompts_N, tokens_N)
    sample_R, place_R = np.nonzero(response_BT)
    first_B = conversations.start_C[chosen]
    prompt_B, response_B = sequences.prompt_N[first_B], sequences.response_N[first_B]
    parts = {
        "ids_BT": ids_BT,
        "prompt_B": prompt_B,
        "length_B": prompt_B + response_B,
        "sample_R": sample_R,
        "place_R": place_R,
    }
    tensors: dict[str, Any] = to_device(parts, device)
    batch = Batch(**tensors, most_prompt=int(prompt_B.max()), most_response=int(response_B.max()))
    turns_B = conversations.turns_C[chosen]
    if turns_B.max() == 1:
        return batch
    return replace(batch, turns=tuple(_turn(sequences, chosen, batch, t) for t in range(turns_B.max())))


def _turn(sequences: Sequences, chosen: Ints, whole: Batch, number: int) -> Turn:
    """The answers `number` (from 0) of the conversations `chosen`, which `whole` has."""
    conversations = sequences.conversations
    rows_M = np.flatnonzero(conversations.turns_C[chosen] > number)
    first_M = conversations.start_C[chosen][rows_M]
    answer_M = first_M + number
    response_M = sequences.response_N[answer_M]
    length_M = sequences.offsets[answer_M + 1] - sequences.offsets[first_M]
    prompt_M, offsets = length_M - response_M, offsets_from_lengths(response_M)
    earlier_M = sequences.response_offsets[answer_M] - sequences.response_offsets[first_M]
    begin_B = offsets_from_lengths(np.diff(conversations.response_offsets)[chosen])[:-1]
    parts = {
        "rows_M": rows_M,
        "value_R": np.repeat(begin_B[rows_M] + earlier_M, response_M) + positions(offsets),
        "prompt_B": prompt_M,
        "length_B": length_M,
        "sample_R": np.repeat(np.arange(len(rows_M)), response_M),
        "place_R": np.repeat(prompt_M, response_M) + positions(offsets),
    }
    tensors: dict[str, Any] = to_device(parts, whole.ids_BT.device)
    rows, value_R = tensors.pop("rows_M"), tensors.pop("value_R")
    ids_BT = whole.ids_BT[rows, : int(length_M.max())]
    batch = Batch(ids_BT, **tensors, most_prompt=int(prompt_M.max()), most_response=int(response_M.max()))
    return Turn(batch, rows, value_R)


def to_device(arrays: dict[str, Ints], device: Any) -> dict[str, torch.Tensor]:
    """The arrays as int64 tensors on the device, in one copy: to a GPU from pinned memory, without waiting for it."""
    flat_T = torch.from_numpy(np.concatenate([array.ravel() for array in arrays.values()]))
    if torch.device(device).type == "cuda":
        flat_T = flat_T.pin_memory()
    parts = flat_T.to(device, non_blocking=True).split([array.size for array in arrays.values()])
    return {name: part.view(array.shape) for (name, array), part in zip(arrays.items(), parts, strict=True)}
