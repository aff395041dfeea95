"""Samples packed into passes: several in a row, none seeing another."""

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad as pad_end

from prunegrid.core.ragged import Ints, positions
from prunegrid.scoring.batches import to_device
from prunegrid.scoring.sequences import Sequences


@dataclass(frozen=True)
class PackedPass:
    """Samples of one forward, the longest first, one after another in a row of T tokens."""

    rows: Sequences
    ids_1T: torch.Tensor
    position_1T: torch.Tensor
    start_N: torch.Tensor
    response_R: torch.Tensor


def pack_rows(rows: Sequences, device: Any) -> PackedPass:
    response_T = positions(rows.offsets) >= np.repeat(rows.prompt_N, rows.length_N)
    arrays = {
        "ids_1T": rows.ids_T[None].astype(np.int64),
        "position_1T": positions(rows.offsets)[None],
        "start_N": rows.offsets[:-1],
        "response_R": np.flatnonzero(response_T),
    }
    return PackedPass(rows, **to_device(arrays, device))


def packed_passes(length_N: Ints, batch_tokens: int) -> list[Ints]:
    """The indices of the samples of each pass, by best fit decreasing: each goes where the least room is left.

    First fit, as in `batches.batches_by_length`, searches all passes for each sample, which takes minutes for the
    candidates of an epoch. A sample longer than `batch_tokens` has a pass of its own.
    """
    members: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (tokens that still fit, pass), sorted
    for index in np.lexsort((np.arange(len(length_N)), -length_N)).tolist():  # the longest first, in a fixed order
        length = int(length_N[index])
        # Passes sort below any of their own room by -1, so this is the fullest pass that still has `length` tokens.
        best = bisect_left(free, (length, -1))
        if best < len(free):
            room, number = free.pop(best)
        else:
            room, number = batch_tokens, len(members)
            members.append([])
        members[number].append(index)
        insort(free, (room - length, number))
    return [np.array(indices, dtype=np.int64) for indices in members]


def decode(model: Any, packed: PackedPass) -> torch.Tensor:
    """The final hidden states [1, T, D]; no sample sees another."""
    hidden_1TD: torch.Tensor = model.get_decoder()(
        input_ids=packed.ids_1T,
        position_ids=packed.position_1T,
        attention_mask=None,
        use_cache=False,
        segments=packed.rows.length_N.tolist(),
        borders=pad_end(packed.start_N, (0, 1), value=packed.ids_1T.shape[1]).int(),
    ).last_hidden_state
    return hidden_1TD
