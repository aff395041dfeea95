"""Run a model over tokenised samples in batches: what the scoring pass and the extra scores share."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.core.progress import Progress
from prunegrid.core.ragged import Ints, flat_indices
from prunegrid.scoring.batches import Batch, batches_by_length, pad
from prunegrid.scoring.sequences import Sequences, Values

Compute = Callable[[Batch], tuple[torch.Tensor, ...]]


class PassCost(NamedTuple):
    """Positions that were forwarded, padding included, and how long that took."""

    positions: int
    seconds: float


def compute_in_batches(
    rows: Sequences, batch_tokens: int, device: Any, names: tuple[str, ...], compute: Compute, title: str
) -> tuple[Values, PassCost]:
    """What `compute` says of each batch (one float32[R] a name), as arrays of one value a response token of `rows`."""
    values = {name: np.empty(rows.response_offsets[-1], np.float32) for name in names}
    progress = Progress(int(rows.length_N.sum()), title)
    parts = list(batches_by_length(rows.length_N, batch_tokens))

    def work() -> Iterator[torch.Tensor]:
        for chosen in parts:
            with torch.inference_mode():
                found_KR = torch.stack(compute(pad(rows, chosen, device)))
            yield found_KR

    for chosen, found_KR in zip(parts, to_host(work()), strict=True):
        scatter(values, rows, chosen, found_KR)
        progress.add(int(rows.length_N[chosen].sum()))
    positions = sum(len(chosen) * int(rows.length_N[chosen].max()) for chosen in parts)
    return values, PassCost(positions, progress.seconds)


def scatter(values: Values, rows: Sequences, chosen: Ints, found_KR: NDArray[np.float32]) -> None:
    """Put what was computed of the samples `chosen`, one row a name, where their response tokens are."""
    places_R: Ints = flat_indices(rows.response_offsets, chosen)
    for column_T, found_R in zip(values.values(), found_KR, strict=True):
        column_T[places_R] = found_R


def to_host(results: Iterable[torch.Tensor]) -> Iterator[NDArray[np.float32]]:
    """Each result in host memory. A GPU's is waited for only when the next one's work has been launched.

    So a GPU works on one batch while the host stores the results of the one before and prepares the one after.
    """
    launched: deque[tuple[torch.Tensor, Any]] = deque()
    for result in results:
        # The copy goes to pinned memory. It must be queued now: later it would wait for the next batch, too.
        copy, done, ahead = result.float().to("cpu", non_blocking=True), None, 0
        if result.is_cuda:
            done, ahead = torch.cuda.Event(), 1
            done.record(torch.cuda.current_stream(result.device))
        launched.append((copy, done))
        if len(launched) > ahead:
            yield _finished(*launched.popleft())
    while launched:
        yield _finished(*launched.popleft())


def _finished(copy: torch.Tensor, done: Any) -> NDArray[np.float32]:
    if done is not None:
        done.synchronize()
    array: NDArray[np.float32] = copy.numpy()
    return array


def hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """The final hidden states [B, T, D]. No mask: causal attention hides padding on the right from every real token."""
    hidden_BTD: torch.Tensor = model.get_decoder()(input_ids=batch.ids_BT, use_cache=False).last_hidden_state
    return hidden_BTD


def predicting_states(hidden_BTD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """[R, D]: the hidden states from which the response tokens are predicted."""
    return hidden_BTD[batch.sample_R, batch.place_R - 1]
