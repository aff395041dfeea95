"""A pass that computes the loss alone: of responses without their prompts, or under a reference model."""

from typing import Any

import torch

from prunegrid.core.progress import Progress
from prunegrid.models.head import Head
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.forward import compute_in_batches, hidden_states, predicting_states
from prunegrid.scoring.sequences import Sequences, Values


class NllScorer:
    """The NLL of response tokens under `model`, in nats, as many times as it is called."""

    def __init__(self, model: Any) -> None:
        self.model, self.head = model, Head(model)

    def __call__(self, sequences: Sequences, batch_tokens: int, title: str | Progress) -> tuple[Values, dict[str, Any]]:
        """`nll`, and how long the forwards took."""

        def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
            return self.head(predicting_states(hidden_states(self.model, batch), batch), batch.targets_R)[:1]

        values, cost = compute_in_batches(sequences, batch_tokens, self.model.device, ("nll",), compute, title)
        return values, {"forward_seconds": round(cost.seconds, 3)}
