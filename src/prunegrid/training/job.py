"""One training job, as its launcher and its ranks know it."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from prunegrid.experiment.sections import Runtime, Training
from prunegrid.models.architecture import TrainingAttention
from prunegrid.pruners import PruningSpec


class Job(BaseModel):
    """What one training job reads and does.

    `selection` is a static cell's, `pruning` a dynamic one's; the full data set has neither. `shuffled`: each prompt
    is given another sample's response.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    scores: Path
    selection: Path | None = None
    pruning: PruningSpec | None = None
    shuffled: bool = False
    training: Training
    runtime: Runtime = Runtime()
    seed: int
    device: str = "cpu"
    threads: int = 1

    @property
    def ranks_per_node(self) -> int:
        return self.training.ranks // self.runtime.nodes

    @property
    def sharers(self) -> int:
        """How many jobs share this one's GPU."""
        return self.runtime.sharers(self.training.ranks)

    @model_validator(mode="after")
    def one_mode(self) -> Self:
        if (self.pruning is not None) != (self.training.mode == "dynamic"):
            raise ValueError(f"training.mode is {self.training.mode}: a dynamic job has a pruning, no other has one")
        return self


class Order(BaseModel):
    """What the ranks are told: the job, where to write, and what an earlier attempt left.

    Each rank adds the `attention` that its model is trained with.
    """

    job: Job
    out: Path
    checkpoints: Path
    reports: Path
    error: Path
    identity: dict[str, Any]
    resume: Path | None = None
    halvings: int = 0
    attention: TrainingAttention | None = None
    checkpointing: bool = False

    @property
    def checkpoints_layers(self) -> bool:
        """Whether the ranks recompute activations in the backward pass; `checkpointing` is what `auto` means."""
        setting = self.job.training.gradient_checkpointing
        return self.checkpointing if setting == "auto" else setting
