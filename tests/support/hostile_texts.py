"""Texts that a shell, a format string or a path would trip over, and every key of the config that takes a text."""

import copy
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from prunegrid.experiment.config import Experiment

TEXTS = {
    "semicolon": "; touch owned",
    "substitution": "$(touch owned)",
    "backticks": "`touch owned`",
    "spaces": "  two  words ",
    "newline": "one\ntouch owned\n",
    "quotes": 'it\'s "quoted" && touch owned',
    "braces": "{x} {{y}} {wildcards.model}",
    "climbing": "../../../elsewhere",
}
EXCLUSIVE = ("hub", "path", "wheel", "pretrain")
Key = tuple[str | int, ...]


def text_keys(model: type[BaseModel] = Experiment, at: Key = ()) -> Iterator[Key]:
    """Where a config may hold a free text: a list's texts at 0, a dict's values at `*`, its names as `*name`."""
    for name, field in model.model_fields.items():
        yield from _annotation_keys(field.annotation, (*at, name))


def _annotation_keys(annotation: Any, at: Key) -> Iterator[Key]:
    kind, inner = get_origin(annotation), get_args(annotation)
    if annotation is str or annotation is Any:
        yield at
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from text_keys(annotation, at)
    elif kind is list:
        yield from _annotation_keys(inner[0], (*at, 0))
    elif kind is dict:
        yield from _annotation_keys(inner[0], (*at, "*name"))
        yield from _annotation_keys(inner[1], (*at, "*"))
    elif kind is Annotated:
        yield from _annotation_keys(inner[0], at)
    elif kind in (Union, types.UnionType):
        for each in inner:
            yield from _annotation_keys(each, at)


def placed(full: dict[str, Any], key: Key, text: str, alone: bool = True) -> dict[str, Any]:
    """The config with the text at that key; `alone`: as `keep_one_source` with that key."""
    values = here = copy.deepcopy(full)
    for part in key[:-1]:
        here = here[next(iter(here)) if part == "*" else part]
    last = key[-1]
    if last == "*name":
        here[text] = here.pop(next(iter(here)))
    elif last == 0:
        here[:] = [text]
    else:
        here[next(iter(here)) if last == "*" else last] = text
    return keep_one_source(values, key) if alone else values


def keep_one_source(values: Any, key: Key = ()) -> Any:
    """Of keys that exclude one another the one on the way to `key` stays, elsewhere `path`."""
    if isinstance(values, list):
        return [keep_one_source(each, key[1:]) for each in values]
    if not isinstance(values, dict):
        return values
    stays = next((part for part in key if part in EXCLUSIVE), "path")
    here = stays if stays in values and key[:1] == (stays,) else "path"
    out = {}
    for name, value in values.items():
        if "path" in values and name in EXCLUSIVE and name != here:
            continue
        below = key[1:] if key[:1] in ((name,), ("*",), ("*name",)) else ()
        out[name] = keep_one_source(value, below)
    return out
