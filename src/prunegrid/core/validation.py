"""Turn pydantic's findings into lines that name the key, its value and the fix."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from prunegrid.core.text import did_you_mean


def complain(error: ValidationError, model: type[BaseModel], source: str) -> str:
    """One line a finding: `config.yaml: budgets[1].token_ratio is 1.4; give a fraction in (0, 1]`."""
    return "\n".join(f"{source}: {_line(finding, model)}" for finding in error.errors())


def _line(finding: Any, model: type[BaseModel]) -> str:
    place, kind, value = _place(finding["loc"]), finding["type"], finding["input"]
    if kind == "extra_forbidden":
        return f"{place} is not a key{_nearest(finding['loc'], model)}"
    if kind == "missing":
        return f"{place} is missing"
    if kind in ("greater_than", "less_than_equal") and place.rpartition(".")[2].startswith(
        ("sample_ratio", "token_ratio")
    ):
        return f"{place} is {value}; give a fraction in (0, 1]"
    if kind == "value_error":
        return f"{place}: {finding['ctx']['error']}" if place else str(finding["ctx"]["error"])
    return f"{place} is {value!r}; {finding['msg'][0].lower()}{finding['msg'][1:]}"


def _place(loc: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _nearest(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    known = list(_fields(loc[:-1], model))
    return f"; {did_you_mean(str(loc[-1]), known) or 'known keys: ' + ', '.join(known)}"


def _fields(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys allowed at `loc`; a part that is no field is a list's index or a dict's key, and is passed by."""
    here = model
    for part in loc:
        if part in here.model_fields:
            here = _section(here.model_fields[str(part)].annotation) or here
    return list(here.model_fields)


def _section(annotation: Any) -> Any:
    """The section inside `Section | None`, `list[Section]` or `dict[str, Section]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _section(inner))), None)
