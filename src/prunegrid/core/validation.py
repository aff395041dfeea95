"""pydantic's findings as errors that name the key, its value and the fix."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from prunegrid.core.errors import PrunegridError, PrunegridErrors
from prunegrid.core.text import did_you_mean

RATIOS = ("sample_ratio", "token_ratio")
RATIO_FIX = "give a fraction in (0, 1]"


def validation_errors(error: ValidationError, model: type[BaseModel], source: str) -> PrunegridErrors:
    """One error per finding: `config.yaml: budgets[1].token_ratio: is 1.4; give a fraction in (0, 1]`."""
    return PrunegridErrors([_finding_error(finding, model, source) for finding in error.errors()])


def _finding_error(finding: Any, model: type[BaseModel], source: str) -> PrunegridError:
    key, kind, value = _key(finding["loc"]), finding["type"], finding["input"]
    place = f"{source}: {key}" if key else source
    if kind == "extra_forbidden":
        known = _known_keys(finding["loc"][:-1], model)
        nearest = did_you_mean(str(finding["loc"][-1]), known)
        return PrunegridError(place, "is not a key", nearest or f"known keys: {', '.join(known)}")
    if kind == "missing":
        return PrunegridError(place, "is missing", "add it")
    if kind in ("greater_than", "less_than_equal") and key.rpartition(".")[2].startswith(RATIOS):
        return PrunegridError(place, f"is {value}", RATIO_FIX)
    if kind == "value_error":  # raised by a validator of the model as "what is wrong; how to fix it"
        problem, _, fix = str(finding["ctx"]["error"]).partition("; ")
        return PrunegridError(place, problem, fix)
    return PrunegridError(place, f"is {value!r}", f"{finding['msg'][0].lower()}{finding['msg'][1:]}")


def _key(loc: tuple[int | str, ...]) -> str:
    parts = (part for part in loc if part != "[key]")  # pydantic's sign that a dictionary's key is wrong
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def _known_keys(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys allowed at `loc`. A part that is not a field (a list's index, a dictionary's key) is skipped."""
    section = model
    for part in loc:
        if part in section.model_fields:
            section = _section(section.model_fields[str(part)].annotation) or section
    return list(section.model_fields)


def _section(annotation: Any) -> Any:
    """The section inside `Section | None`, `list[Section]` or `dict[str, Section]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for inner in get_args(annotation) if (section := _section(inner))), None)
