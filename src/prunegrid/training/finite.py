"""Whether a step's losses and gradient are finite, checked without making the device wait for the host."""

import math
from typing import Any

import torch


class StepNumbers:
    """What must be finite in one step: its passes' losses and its gradient's norm, on their way to the host.

    `norm` is DeepSpeed's: a tensor, a number, -1 for NaN, or None if it computes none.
    """

    def __init__(self, step: int, losses: list[torch.Tensor], norm: Any, samples: list[list[int]]) -> None:
        self.step, self.samples = step, samples
        self.norm = [] if norm is None or torch.is_tensor(norm) else [float(norm)]
        values = [*losses, *([norm.to(losses[0])] if torch.is_tensor(norm) else [])]
        self.values = torch.stack(values).to("cpu", non_blocking=True)
        self.copied = torch.cuda.Event() if losses[0].is_cuda else None
        if self.copied:
            self.copied.record()

    @property
    def arrived(self) -> bool:
        """Whether `problem` would return at once."""
        return self.copied is None or bool(self.copied.query())

    def problem(self) -> tuple[str, list[int]] | None:
        """What is not finite, and its samples."""
        if self.copied:
            self.copied.synchronize()
        values = self.values.tolist()
        for loss, samples in zip(values, self.samples, strict=False):
            if not math.isfinite(loss):
                return f"the loss is {loss}", samples
        if any(not 0 <= norm < math.inf for norm in [*values[len(self.samples) :], *self.norm]):
            return "the gradient is not finite", [sample for samples in self.samples for sample in samples]
        return None
