"""Run a model over sequences in batches: shared by the scoring pass, the optional scores and dynamic training."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
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
    sequences: Sequences,
    batch_tokens: int,
    device: Any,
    names: tuple[str, ...],
    compute: Compute,
    title: str | Progress,
    vectors: Mapping[str, NDArray[np.float16]] = MappingProxyType({}),
) -> tuple[Values, PassCost]:
    """Run `compute`, which gives one float32[R] a name, on all batches; its values are in the order of `sequences`.

    Behind these it gives float32[S, D] for each of `vectors`, which are filled: a vector for each of the batch's S
    samples. A batch is made of whole conversations, each read once, however many answers it has.
    """
    length_C = sequences.conversations.length_C
    values = {name: np.empty(sequences.response_offsets[-1], np.float32) for name in names}
    start = time.monotonic()
    progress = Progress(int(sequences.length_N.sum()), title) if isinstance(title, str) else title
    batches = list(batches_by_length(length_C, batch_tokens))

    def results() -> Iterator[torch.Tensor]:
        for chosen in batches:
            with torch.inference_mode():
                flat = torch.cat([part.flatten() for part in compute(pad(sequences, chosen, device))])
            yield flat  # outside the block: inference mode would stay on in whatever runs between two batches

    for chosen, flat in zip(batches, to_host(results()), strict=True):
        samples = sequences.conversations.samples(chosen)
        size = int(sequences.response_N[samples].sum())
        scatter(values, sequences, chosen, flat[: len(values) * size].reshape(len(values), size))
        vectors_KSD = flat[len(values) * size :].reshape(len(vectors), len(samples), -1) if vectors else ()
        for column_ND, vectors_SD in zip(vectors.values(), vectors_KSD, strict=True):
            with np.errstate(over="ignore"):  # an infinity is refused where it is written
                column_ND[samples] = vectors_SD
        progress.add(int(length_C[chosen].sum()))
    positions = sum(len(chosen) * int(length_C[chosen].max()) for chosen in batches)
    return values, PassCost(positions, time.monotonic() - start)


def scatter(values: Values, sequences: Sequences, chosen: Ints, values_KR: NDArray[np.float32]) -> None:
    """Store the values of the conversations `chosen`, one line of `values_KR` a column, where their response tokens
    are."""
    places_R: Ints = flat_indices(sequences.conversations.response_offsets, chosen)
    for column_T, values_R in zip(values.values(), values_KR, strict=True):
        column_T[places_R] = values_R


def to_host(results: Iterable[torch.Tensor]) -> Iterator[NDArray[np.float32]]:
    """Each result in host memory. A GPU's is waited for only after the next batch has been launched.

    So a GPU computes one batch while the host stores the results of the previous one and prepares the next one.
    """
    copies: deque[tuple[torch.Tensor, Any]] = deque()
    for result in results:
        # The copy goes to pinned memory and must be queued now: a stream runs in order, so a copy that is queued after
        # the next batch would wait for that batch, too. The event marks the point where the copy is complete.
        copy, event = result.float().to("cpu", non_blocking=True), None
        if result.is_cuda:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(result.device))
        copies.append((copy, event))
        # On a GPU one batch is in flight when the next is requested; on a CPU that would only take memory.
        if len(copies) > result.is_cuda:
            yield _synchronised(*copies.popleft())
    while copies:
        yield _synchronised(*copies.popleft())


def _synchronised(copy: torch.Tensor, event: Any) -> NDArray[np.float32]:
    if event is not None:
        event.synchronize()
    array: NDArray[np.float32] = copy.numpy()
    return array


def hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """The final hidden states [B, T, D]. No mask: in causal attention no real token sees padding on its right."""
    hidden_BTD: torch.Tensor = model.get_decoder()(input_ids=batch.ids_BT, use_cache=False).last_hidden_state
    return hidden_BTD


def predicting_states(hidden_BTD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """[R, D]: the hidden states from which the response tokens are predicted."""
    return hidden_BTD[batch.sample_R, batch.place_R - 1]
