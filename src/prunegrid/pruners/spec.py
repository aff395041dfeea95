"""What decides a selection, besides the scores and the seed."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from prunegrid.core.errors import PrunegridError
from prunegrid.core.validation import RATIO_FIX, RATIOS
from prunegrid.pruners.method import Needs, complete_options, needs


class MethodSpec(BaseModel):
    """A method with its options, and the name of the variant that uses it: the method's own unless given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: str = ""
    method: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_variant(cls, values: Any) -> Any:
        return {"variant": values["method"], **values} if isinstance(values, dict) and "method" in values else values

    @property
    def needs(self) -> Needs:
        """The score columns that the method reads under its options."""
        return needs(self.method, self.options)

    def complete(self) -> Self:
        """The same with all options: those given, checked, and the defaults of the rest."""
        return self.model_copy(update={"options": complete_options(self.method, self.options)})


class PruningSpec(MethodSpec):
    """A method and the budget it meets. Its JSON form is stored in job parameters, checkpoints and `selection.json`.

    `unit` is what its samples are: answers, or whole conversations. `match` is the method whose counts a pair meets in
    each mini-batch instead of the ratios (dynamic mode only; in static mode they come from the other selection's file).
    """

    sample_ratio: float
    token_ratio: float
    unit: Literal["turn", "conversation"] = Field("turn", exclude_if=lambda value: value == "turn")
    match: MethodSpec | None = Field(None, exclude_if=lambda value: value is None)

    @field_validator(*RATIOS)
    @classmethod
    def _check_ratio(cls, value: float, info: ValidationInfo) -> float:
        if not 0 < value <= 1:
            raise PrunegridError(str(info.field_name), f"is {value}", RATIO_FIX)
        return value

    @property
    def columns(self) -> set[str]:
        """The score columns that the method reads, and in each mini-batch that of `match`."""
        every = [spec.needs for spec in (self, self.match) if spec]
        return {name for needs in every for name in (*needs.samples, *needs.tokens)}

    @property
    def counterpart(self) -> "PruningSpec | None":
        """The pruning of `match`, under the same ratios."""
        if self.match is None:
            return None
        return PruningSpec(**dict(self.match), sample_ratio=self.sample_ratio, token_ratio=self.token_ratio)
