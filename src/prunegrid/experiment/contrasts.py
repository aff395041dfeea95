"""The questions that a config states before its run: means of deltas over columns, models and budgets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from prunegrid.experiment.section import Name, Section
from prunegrid.experiment.variant import Budget

All = Literal["all"]
AXES = ("variants", "benchmarks", "models", "budgets")
Names = Annotated[list[Name], Field(min_length=1)]


class PrimaryContrast(Section):
    """One question: how far the mean of `variants` lies from `against`, over benchmarks, models and budgets."""

    variants: Names = Field(description="rows whose mean is compared")
    against: Name = Field(description="row to compare with: a variant, or a reference such as full")
    benchmarks: Names | All = Field("all", description="columns that the mean includes")
    models: Names | All = Field("all", description="models that the mean includes")
    budgets: Annotated[list[Budget], Field(min_length=1)] | All = Field(
        "all", description="budgets that the mean includes"
    )

    @model_validator(mode="after")
    def check_distinct(self) -> Self:
        for axis in AXES:
            values = getattr(self, axis)
            if values != "all" and (doubles := [_text(value) for value, count in _counts(values) if count > 1]):
                raise ValueError(f"{axis} names {', '.join(doubles)} more than once; name it once")
        if self.against in self.variants:
            raise ValueError(f"{self.against} is compared with itself; leave it out of variants")
        return self

    def check(self, name: str, known: Mapping[str, Sequence[Any]], references: Sequence[str]) -> None:
        """Raise ValueError if the contrast names what the experiment does not have."""
        for axis in AXES:
            values = getattr(self, axis)
            unknown = [] if values == "all" else [_text(value) for value in values if value not in known[axis]]
            if unknown:
                choices = ", ".join(map(_text, known[axis]))
                raise ValueError(f"contrasts.{name}: {axis} has no {', '.join(unknown)}; name some of {choices}")
        rows = [*known["variants"], *references]
        if self.against not in rows:
            raise ValueError(f"contrasts.{name}: there is no row {self.against!r}; name one of {', '.join(rows)}")

    def members(self, axis: str, every: Sequence[Any]) -> list[Any]:
        """What the contrast averages over along an axis, in the experiment's order."""
        values = getattr(self, axis)
        return [value for value in every if values == "all" or value in values]


def _counts(values: Sequence[Any]) -> list[tuple[Any, int]]:
    return list(Counter(values).items())


def _text(value: Any) -> str:
    return value.name if isinstance(value, Budget) else str(value)
