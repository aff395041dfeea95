"""The base of all sections of an experiment's configuration, and the kinds of text in them."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise ValueError(f"{value!r} must be letters, digits, '.', '_', '+' or '-': it names a folder")
    return value


def _input_path(value: str) -> str:
    if re.search(r"[{}\x00-\x1f]", value):
        raise ValueError(f"{value!r} has braces or line breaks, which no path may have in Snakemake; rename the file")
    return value


def _path_part(value: str) -> str:
    if re.search(r"^\.|[/\\{}\x00-\x1f]", value):
        raise ValueError(f"{value!r} must have no slash, brace or line break, nor begin with a dot: it names a file")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", value):
        raise ValueError(f"{value!r} must be letters, digits or '_': it names a variable of a chat template")
    return value


Name = Annotated[str, AfterValidator(_name)]


InputPath = Annotated[str, AfterValidator(_input_path)]


PathPart = Annotated[str, AfterValidator(_path_part)]


Variable = Annotated[str, AfterValidator(_variable)]


HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")]


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


Ratio = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A part of the configuration. Its dump is stored in finished results and in Snakemake's records of job parameters.

    Two rules keep finished results valid as sections grow: a default never changes, and a new key is declared with
    `added`, not with `Field`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def as_recorded(cls, values: Any) -> Any:
        """`values`, which any version dumped, as this version dumps them; unchanged if it cannot read them."""
        try:
            return cls.model_validate(values).model_dump(mode="json")
        except ValidationError:
            return values


def added(absent: Any, **constraints: Any) -> Any:
    """A field for a key that version 0.1 did not have.

    Its default `absent` must mean what was done before the key existed. With that value the key is left out of dumps,
    so that a dump of a section is what an older version wrote, and no finished result looks stale.
    """
    return Field(absent, exclude_if=lambda value: value == absent, **constraints)
