"""One training job: what it reads and does (`Job`), and what its launcher passes to its ranks (`Order`)."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from prunegrid.core.parts import parts_digest
from prunegrid.core.versions import STEP
from prunegrid.experiment.training import Runtime, Training
from prunegrid.models.architecture import TrainingAttention
from prunegrid.pruners import PruningSpec
from prunegrid.pruners.columns import EXTRAS


class Job(BaseModel):
    """What one training job reads and does.

    A static cell has a `selection`, a dynamic one a `pruning`; the full data set has neither. `shuffled` gives each
    prompt another sample's response.
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
        """How many jobs share this job's GPU."""
        return self.runtime.sharers(self.training.ranks)

    @model_validator(mode="after")
    def only_dynamic_jobs_have_a_pruning(self) -> Self:
        if (self.pruning is not None) != (self.training.mode == "dynamic"):
            raise ValueError(f"training.mode is {self.training.mode}: dynamic jobs have a pruning, others have none")
        return self

    def identity(self, digests: dict[str, str], extras: dict[str, dict[str, str]] | None = None) -> dict[str, Any]:
        """What a checkpoint must have in common with the job to be resumed. `digests` are those of the scores, `extras`
        of the optional scores that it reads."""
        settings = self.model_dump(mode="json", include={"training", "pruning", "shuffled", "seed", "device"})
        selection = parts_digest(self.selection) if self.selection else None
        steps = ("train", "score", "prune") if self.pruning else ("train",)
        if self.pruning and self.pruning.columns & set(EXTRAS):
            steps = (*steps, "extra")
        versions = {name: STEP[name] for name in steps}
        read = {"extras": extras} if extras else {}
        return {**settings, "selection": selection, "digests": digests, "version": versions, **read}


class Order(BaseModel):
    """What the launcher passes to the ranks: the job, where to write, and what an earlier attempt left.

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
        """Whether the ranks recompute activations in the backward pass. `checkpointing` decides if it is `auto`."""
        setting = self.job.training.gradient_checkpointing
        return self.checkpointing if setting == "auto" else setting
