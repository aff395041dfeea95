"""The keys of budgets and variants: how much is kept, and by which pruners."""

from collections.abc import Iterable
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from prunegrid import pruners
from prunegrid.core.errors import PrunegridError
from prunegrid.core.text import did_you_mean
from prunegrid.core.validation import validation_errors
from prunegrid.experiment.names import BEST, REFERENCES
from prunegrid.experiment.section import Name, Ratio, Section, added
from prunegrid.experiment.training import SHARED, Mode, Removal, Training
from prunegrid.pruners.columns import QUERY_EXTRAS


class Budget(Section):
    """How much of the training set is kept."""

    sample_ratio: Ratio = Field(description="fraction of the samples")
    token_ratio: Ratio = Field(description="fraction of the response tokens of each kept sample")

    @property
    def name(self) -> str:
        return f"s{self.sample_ratio}-t{self.token_ratio}"


KEYS = ("mode", "removal", "match", "training")  # of a variant, beside its method and options


class Variant(Section):
    """A named pruner pair (or joint pruner) with its options."""

    name: Name = Field(description="name of the table's row and of its folder")
    method: str = Field(description="sample pruner + token pruner, or a joint pruner")
    options: dict[str, Any] = Field({}, description="options of the pruners")
    mode: Mode | None = Field(None, description="replaces training.mode")
    removal: Removal | None = Field(None, description="replaces training.removal")
    match: Name | None = Field(
        None, description="keep as many samples and tokens as this variant really keeps, instead of the budget's ratios"
    )

    training: dict[str, Any] = added({}, description="replaces these keys of training, such as learning_rate")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """A name, or one name with its method and options: the forms that users write."""
        full = handler(core_schema)
        body = {
            "type": "object",
            "properties": {
                "method": {"type": "string"},
                "mode": {"enum": ["static", "dynamic"]},
                "removal": {"enum": ["mask", "drop"]},
                "match": {"type": "string"},
                "training": {"type": "object"},
            },
            "required": ["method"],
        }
        named = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": body}
        return {"anyOf": [{"type": "string"}, named, full]}

    @model_validator(mode="before")
    @classmethod
    def from_name(cls, value: Any) -> Any:
        """The full form of `qtuning` or `{qtuning-l0: {method: qtuning, neighbor_lambda: 0}}`.

        The default name of `my_module:easiest+ppl` is `easiest+ppl`.
        """
        if isinstance(value, str):
            return {"name": "+".join(part.rpartition(":")[2] for part in value.split("+")), "method": value}
        if isinstance(value, dict) and "name" not in value:
            if len(value) != 1 or not isinstance(next(iter(value.values())), dict):
                raise ValueError("has another form; write a name or {name: {method: ..., option: ...}}")
            ((name, body),) = value.items()
            keys = {key: body[key] for key in ("method", *KEYS) if key in body}
            options = {key: item for key, item in body.items() if key not in keys}
            return {"name": name, "options": options, **keys}
        return value

    @model_validator(mode="after")
    def check_method(self) -> Self:
        if self.name in REFERENCES:
            raise ValueError(f"{self.name!r} is the name of a reference cell; choose another")
        if self.name == BEST:
            raise ValueError(
                f"{self.name!r} is reserved for the best pair (prunegrid table --against {BEST}); choose another"
            )
        try:
            pruners.check_method(self.method, self.options)
        except PrunegridError as error:
            raise ValueError(str(error)) from None
        return self

    def trained_by(self, training: Training) -> Training:
        """The experiment's `training` with the variant's own keys in place, mode and removal included."""
        manner = {"mode": self.mode, "removal": self.removal}
        changes = self.training | {key: value for key, value in manner.items() if value}
        return Training.model_validate(training.model_dump() | changes) if changes else training

    @model_validator(mode="after")
    def check_training(self) -> Self:
        for key in self.training:
            if key in SHARED or key not in Training.model_fields:
                known = sorted(Training.model_fields.keys() - SHARED)
                fix = "write it next to training, not inside" if key in KEYS else did_you_mean(key, known)
                reason = "cannot be changed by a variant" if key in SHARED else "is unknown"
                raise ValueError(f"training.{key} {reason}; {fix or 'known: ' + ', '.join(known)}")
        try:
            Training.model_validate(self.training)
        except ValidationError as error:
            raise ValueError(str(validation_errors(error, Training, "training"))) from None
        return self


def query_readers(variants: Iterable[Variant]) -> list[Variant]:
    """The variants whose pruners read a query set."""
    needs = [(variant, pruners.needs(variant.method, variant.options)) for variant in variants]
    return [variant for variant, columns in needs if QUERY_EXTRAS & {*columns.samples, *columns.tokens}]
