"""The keys of data sets: the training set, and the items of benchmarks."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from prunegrid.experiment.section import HubId, InputPath, Name, PathPart, Section, Sha256, added

Turns = Literal["each", "last", "all"]


Duplicates = bool | Literal["near"]


Unit = Literal["turn", "conversation"]


BadRows = Literal["error", "skip"]


class DataRef(Section):
    """A data set: a hub id with config, split and revision, or a file."""

    hub: HubId | None = Field(None, description="id on the Hugging Face hub")
    config: PathPart | None = Field(None, description="configuration on the hub")
    split: PathPart = Field("train", description="split on the hub")
    revision: str | None = Field(None, description="commit, branch or tag on the hub")
    path: InputPath | None = Field(
        None, description="file, folder or glob: JSON, JSON lines, CSV, Parquet, Arrow, plain or compressed"
    )
    sha256: Sha256 | None = added(
        None, description="SHA-256 of the file or of the mirror's file; any other file is refused"
    )

    @model_validator(mode="after")
    def check_source(self) -> Self:
        if (self.hub is None) == (self.path is None):
            raise ValueError("give either hub or path")
        return self

    @property
    def mirror_name(self) -> str:
        """`org/name/config/split`, by which mirrors and the sandbox name a data set of the hub."""
        return "/".join(filter(None, (self.hub, self.config, self.split)))

    def mirror_file(self, mirror: Path) -> Path:
        """Where a mirror laid out `org/name/config/split.jsonl` holds this data set."""
        return mirror / f"{self.mirror_name}.jsonl"


class Dataset(DataRef):
    """The training set that is pruned."""

    name: Name = Field(description="name of its files in the results folder")
    max_samples: int | None = Field(None, ge=1, description="number of samples to draw uniformly; all by default")
    drop_duplicates: Duplicates = Field(False, description="drop exact duplicates; near: near duplicates, too")
    carry: list[str] = Field([], description="columns to copy along, for audits")
    turns: Turns = added(
        "each",
        description="answers of a conversation to learn: each as its own row, only the last, or all in one row",
    )
    fields: dict[Literal["system", "prompt", "response", "messages"], str] = added(
        {}, description="names of these fields in the source, if they are not recognised"
    )
    ignore: list[str] = added([], description="fields with text to ignore")
    on_bad_row: BadRows = added("error", description="stop at an unreadable row, or skip and count it")

    @model_validator(mode="after")
    def check_carry(self) -> Self:
        columns = ["sample_id", "row", "turn", "messages", "tools"]
        for name in self.carry:
            if name in columns:
                raise ValueError(f"carry names {name}, which the data set has already; leave it out")
            columns.append(name)
        return self
