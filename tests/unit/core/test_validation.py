"""pydantic's findings as errors: the place, the value, the fix."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prunegrid.core.validation import validation_errors


class Budget(BaseModel):
    model_config = ConfigDict(extra="forbid")
    token_ratio: float = Field(gt=0, le=1)
    steps: int = 1


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    budgets: list[Budget] = []
    named: dict[str, Budget] = {}
    seed: int = 0

    @model_validator(mode="after")
    def seed_is_even(self) -> "Config":
        if self.seed % 2:
            raise ValueError("seed is odd; give an even one")
        return self


@pytest.mark.parametrize(
    ("values", "where", "what", "fix"),
    [
        ({"budgets": [{"token_ratio": 1.4}]}, "c.yaml: budgets[0].token_ratio", "is 1.4", "give a fraction in (0, 1]"),
        ({"budgets": [{}]}, "c.yaml: budgets[0].token_ratio", "is missing", "add it"),
        ({"sead": 1}, "c.yaml: sead", "is not a key", "did you mean seed?"),
        ({"x": 1}, "c.yaml: x", "is not a key", "known keys: budgets, named, seed"),
        (
            {"named": {"a": {"token_ratio": 1, "stepz": 2}}},
            "c.yaml: named.a.stepz",
            "is not a key",
            "did you mean steps?",
        ),
        ({"seed": 1}, "c.yaml", "seed is odd", "give an even one"),
        ({"seed": "one"}, "c.yaml: seed", "is 'one'", "input should be a valid integer, unable to parse string as an"),
    ],
)
def test_validation_errors_have_place_value_and_fix(values: dict[str, object], where: str, what: str, fix: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(values)
    (error,) = validation_errors(caught.value, Config, "c.yaml").errors
    assert (error.where, error.what) == (where, what)
    assert error.fix.startswith(fix)
