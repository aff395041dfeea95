"""Optional scores that the scoring pass computes in its own forward (`scoring.extra`): those of `FORWARD_EXTRAS`.

Each is computed by the function, in the batches and in the order of a pass of its own, so its values are the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.models.attention_capture import AttentionCapture, AttentionInputs
from prunegrid.models.probes import attention_scores_unavailable
from prunegrid.pruners.columns import EXTRAS, LAYER_EXTRAS, VECTOR_EXTRAS
from prunegrid.scoring.attention import paid_by_last_token
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.sequence_scores import answer_means, layer_scores
from prunegrid.scoring.sequences import Sequences

SECOND, WHOLE = "fastv_layer2", "sequence_entropy"


class ForwardColumns:
    """The scores `names` of `model`; refuses those whose attention it does not give. `special_ids` are no candidates.

    `tokens` are those with a value for each response token, in the order that `of_batch` gives them: `sequence_entropy`
    is one of them, and first, but comes with the loss. `vectors` follow them.
    """

    def __init__(self, model: Any, names: Sequence[str] = (), special_ids: Sequence[int] = ()) -> None:
        self.model, self.names = model, tuple(names)
        self.layer = tuple(name for name in names if name in LAYER_EXTRAS)
        self.vectors = tuple(name for name in names if name in VECTOR_EXTRAS)
        self.whole = WHOLE in names
        self.tokens = (*([WHOLE] * self.whole), *self.layer, *([SECOND] * (SECOND in names)))
        self.special_S = torch.tensor(special_ids, device=model.device, dtype=torch.long)
        self.second: AttentionCapture | None = None
        for number, columns in ((-1, self.layer), (1, (SECOND,) if SECOND in names else ())):
            if columns and (reason := self._unavailable(number)):
                raise PrunegridError(model.name_or_path, f"{columns[0]} cannot be computed: {reason}", "leave it out")

    def _unavailable(self, number: int) -> str | None:
        layers = getattr(self.model.get_decoder(), "layers", ())
        if number >= len(layers) > 0:
            return f"the model has {len(layers)} layer(s)"
        return attention_scores_unavailable(self.model, number)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Within the block, the second layer's attention is captured if a score is computed from it."""
        with AttentionCapture(self.model, 1) if SECOND in self.names else nullcontext() as self.second:
            yield

    def of_batch(self, layer: AttentionInputs | None, batch: Batch, hidden_BTD: torch.Tensor) -> list[torch.Tensor]:
        """float32[R] for each of `tokens` but the first if it is `sequence_entropy`, then float32[S, D] of vectors."""
        values: list[torch.Tensor] = []
        if self.layer:
            assert layer, "the last layer is captured, or the scores are refused"
            values += layer_scores(self.layer, layer, batch, hidden_BTD, self.special_S)
        if self.second:
            values.append(paid_by_last_token(self.second.take(), batch))
        return values + [answer_means(hidden_BTD, batch) for _ in self.vectors]

    def empty_vectors(self, samples: int) -> dict[str, NDArray[np.float16]]:
        """Room for the vectors of so many samples."""
        width = self.model.get_output_embeddings().weight.shape[1] if self.vectors else 0
        return {name: np.empty((samples, width), np.float16) for name in self.vectors}


def pop_columns(names: Sequence[str], values: dict[str, Any], sequences: Sequences) -> dict[str, NDArray[Any]]:
    """Take the optional scores `names` out of a pass's values; each of a sample's tokens has a sample's value."""
    columns = {name: values.pop(name) for name in names if name in values}
    first = sequences.response_offsets[:-1]
    return {name: column[first] if EXTRAS[name] == "sample" else column for name, column in columns.items()}
