"""Run a model over tokenised samples in batches: what the scoring pass and the extra scores share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.progress import Progress
from prunegrid.pruners.ragged import Ints, flat_rows
from prunegrid.rows import Batch, Rows, batches, pad

Values = dict[str, NDArray[np.float32]]
Compute = Callable[[Batch], tuple[torch.Tensor, ...]]


class Work(NamedTuple):
    """Positions that were forwarded, padding included, and how long that took."""

    positions: int
    seconds: float


def over_batches(
    rows: Rows, batch_tokens: int, device: Any, names: tuple[str, ...], compute: Compute, title: str
) -> tuple[Values, Work]:
    """What `compute` says of each batch (one float32[R] a name), as arrays of one value a response token of `rows`."""
    values = {name: np.empty(rows.response_offsets[-1], np.float32) for name in names}
    progress, positions = Progress(int(rows.length_N.sum()), title), 0
    for chosen in batches(rows.length_N, batch_tokens):
        batch = pad(rows, chosen, device)
        with torch.inference_mode():
            found_KR = torch.stack(compute(batch)).cpu().numpy()
        places_R: Ints = flat_rows(rows.response_offsets, chosen)
        for name, found_R in zip(names, found_KR, strict=True):
            values[name][places_R] = found_R
        positions += batch.ids_BT.numel()
        progress.add(int(rows.length_N[chosen].sum()))
    return values, Work(positions, progress.seconds)


def decode(model: Any, batch: Batch) -> torch.Tensor:
    """The final hidden states [B, T, D]. No mask: causal attention hides padding on the right from every real token."""
    hidden_BTD: torch.Tensor = model.get_decoder()(input_ids=batch.ids_BT, use_cache=False).last_hidden_state
    return hidden_BTD


def before(hidden_BTD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """[R, D]: the hidden states from which the response tokens are predicted."""
    return hidden_BTD[batch.sample_R, batch.place_R - 1]
