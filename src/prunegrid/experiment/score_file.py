"""The section `scores`: scores of samples or tokens that something else made, which become columns for any pruner."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.section import InputPath, Section
from prunegrid.experiment.variant import Variant
from prunegrid.pruners.columns import BASE_NLL, EPOCH_LOSS, EXTRAS, PASS_COLUMNS
from prunegrid.pruners.methods.imported import check_directions

Direction = Literal["highest", "lowest"]
ORDER = "order"  # in place of an id: the n-th row of the file is of the n-th row of the data's source
MODEL = "{model}"
_PATH = TypeAdapter(InputPath)
TAKEN = {
    *PASS_COLUMNS,
    *EXTRAS,
    BASE_NLL,
    EPOCH_LOSS,
    "sample_id",
    "row",
    "turn",
    "continues",
    "prompt_ids",
    "response_ids",
}


class ScoreFile(Section):
    """A file with a number for each sample, or with a list of numbers for each sample's response tokens."""

    file: str = Field(description="JSON lines or Parquet; {model} is replaced by the model's name")
    column: str | None = Field(
        None, description="field of the scores, a.b for b inside a; by default their name, or score"
    )
    id: str | dict[str, str] | None = Field(
        None,
        description="column that identifies a row's sample: sample_id, row (and turn), or one of dataset.carry; "
        "{row: idx} if the file calls it idx; order: the n-th row is of the source's n-th",
    )
    direction: Direction = Field("highest", description="whether higher or lower scores are better")
    missing: Literal["refuse", "last"] = Field(
        "refuse", description="samples without a score: an error, or ranked last"
    )
    source: str = Field("", description="who made the scores, and how: a text kept with them")

    @model_validator(mode="before")
    @classmethod
    def from_path(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @field_validator("file")
    @classmethod
    def check_pattern(cls, value: str) -> str:
        """Refuse braces that are not those of `{model}`: Snakemake would read them."""
        _PATH.validate_python(value.replace(MODEL, "model"))
        return value

    @field_validator("id")
    @classmethod
    def check_id(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        if value in ("", {}):
            raise ValueError("is empty; name a column, or leave id out")
        return value

    @property
    def recorded(self) -> dict[str, str]:
        """What is kept with the imported scores of the settings that were given."""
        given = {"column": self.column, "id": self.id, "direction": self.direction, "source": self.source or None}
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items() if value}

    def path(self, model: str) -> str:
        """The file of a base model; the audit's replicas have their model's."""
        return self.file.replace(MODEL, model.partition("@")[0])


def check_name(name: str) -> None:
    """Refuse a name that a column of the scores has already; raises ValueError."""
    if name in TAKEN:
        raise ValueError(f"scores.{name} has the name of a column that prunegrid makes; choose another")


def check_scores(scores: Mapping[str, ScoreFile], variants: Iterable[Variant]) -> None:
    """Refuse a name that is taken, and a variant that would keep the worse end by its default; raises ValueError."""
    for name in scores:
        check_name(name)
    directions = {name: score.direction for name, score in scores.items()}
    for variant in variants:
        try:
            check_directions(variant.method, variant.options, directions)
        except PrunegridError as error:
            raise ValueError(f"{variant.name}: {error.what}; {error.fix}") from None


def reads_data(score: ScoreFile) -> bool:
    """Whether the data set must be read to tell whose the scores are."""
    names = [score.id] if isinstance(score.id, str) else list(score.id or ())
    return any(name not in ("sample_id", "row", "turn") for name in names)
