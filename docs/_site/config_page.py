"""The page of all keys of an experiment file, from the models that check them (`prunegrid.experiment`)."""

import types
import typing
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Literal, NamedTuple, Union

import annotated_types
import yaml
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from prunegrid.experiment import section
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.section import Section

OPENING = """# Experiment file

Look up any key of `config.yaml` or of a file in `experiments/`: its type, its default and what it means. This page is
generated from the models that check the file, and an unknown key is an error. `prunegrid doctor FILE` checks a file.

`<name>` stands for a name of your choice: letters, digits, `.`, `_`, `+` and `-`.
"""
KINDS = {"Name": "name", "InputPath": "path", "PathPart": "text", "Variable": "name", "HubId": "hub id"}
KINDS |= {"Sha256": "SHA-256", "Ratio": "number"}
WORDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Any: "any value"}
BOUNDS = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}


class Place(NamedTuple):
    """A section of the file: the path of its keys, and the model of what is there."""

    path: str
    model: type[Section]


def page() -> str:
    places = list(_places(Place("", Experiment)))
    first = {place.model: place.path for place in reversed(places)}
    parts = [OPENING, *(_section(place, first) for place in places)]
    return "\n".join(parts)


def anchors() -> list[str]:
    """The anchor of every key, in the page's order."""
    places = list(_places(Place("", Experiment)))
    first = {place.model: place.path for place in reversed(places)}
    documented = [place for place in places if first[place.model] == place.path]
    return [_anchor(_join(place.path, name)) for place in documented for name in place.model.model_fields]


def _places(place: Place) -> Iterator[Place]:
    """The section and all sections in it, in the file's order."""
    yield place
    for name, field in place.model.model_fields.items():
        for inside, suffix in _models(field.annotation):
            yield from _places(Place(_join(place.path, name) + suffix, inside))


def _models(annotation: Any, suffix: str = "") -> Iterator[tuple[type[Section], str]]:
    """The sections in a type, and what their paths add: nothing, a name, or the sign of a list."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation, suffix
        return
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        inside = inside[:1]
    if origin is dict:
        inside, suffix = inside[1:], f"{suffix}.<name>"
    elif origin is list:
        suffix = f"{suffix}[]"
    if origin is not Literal:
        for each in inside:
            yield from _models(each, suffix)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _anchor(path: str) -> str:
    return path.replace(".<name>", "").replace("[]", "")


def _section(place: Place, first: dict[type[Section], str]) -> str:
    """A heading, what the section is, and a table of its keys; where the same model is documented, a link to it."""
    title = f"`{place.path}`" if place.path else "Top level"
    heading = f"{'###' if '.' in _anchor(place.path) else '##'} {title} {{ #{_anchor(place.path) or 'top-level'} }}\n"
    meaning = _docstring(place.model)
    if first[place.model] != place.path:
        return (
            f"{heading}\n{meaning}\n\nThe keys are those of [`{first[place.model]}`](#{_anchor(first[place.model])}).\n"
        )
    rows = [_row(place.path, name, field) for name, field in place.model.model_fields.items()]
    table = "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])
    return f"{heading}\n{meaning}\n\n{table}\n"


def _docstring(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").partition("\n\n    ")[0].replace("\n    ", " ").strip()


def _row(path: str, name: str, field: FieldInfo) -> str:
    anchor = _anchor(_join(path, name))
    has_section = next(_models(field.annotation), None)
    mark = "" if has_section else f'<a id="{anchor}"></a>'
    key = f"[`{name}`](#{anchor})" if has_section else f"{mark}`{name}`"
    cells = [key, _type(field.annotation, field.metadata), _default(field), field.description or ""]
    return "| " + " | ".join(_cell(text) for text in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("{", "&#123;").replace("}", "&#125;").replace("<name>", "&lt;name&gt;")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "its keys' defaults"
    if value in ("", [], {}):
        return "empty"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _type(annotation: Any, metadata: Any = ()) -> str:
    """A type in words: choices, bounds and what a list has."""
    for name, kind in KINDS.items():
        known = getattr(section, name)
        if annotation == known or (metadata and known.__metadata__ == (*_marks(metadata),)):
            return _bounded(kind, known.__metadata__)
    if annotation in WORDS:
        return _bounded(WORDS[annotation], metadata)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type(inside[0], inside[1:])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each, metadata) for each in inside if each is not type(None))
    if origin is list:
        return f"list of {_plural(_type(inside[0]))}"
    if origin is dict:
        return f"{_plural(_type(inside[1]))} by name" if inside[1] is not Any else "options by name"
    raise TypeError(f"{annotation} has no words here; add some")


def _plural(kind: str) -> str:
    """`whole number, > 0` has its number in front of the comma, choices have none."""
    noun, comma, rest = kind.partition(",")
    return kind if "`" in noun else f"{noun}s{comma}{rest}"


def _marks(metadata: Any) -> Iterator[Any]:
    yield from (mark for mark in metadata if isinstance(mark, AfterValidator))


def _bounded(kind: str, metadata: Any) -> str:
    """The kind with the bounds that pydantic keeps beside the type, or in a `Field` of an alias."""
    flat = [mark for each in metadata for mark in (getattr(each, "metadata", None) or [each])]
    bounds = [f", {BOUNDS[type(mark)]} {next(iter(asdict(mark).values()))}" for mark in flat if type(mark) in BOUNDS]
    return kind + "".join(bounds)
