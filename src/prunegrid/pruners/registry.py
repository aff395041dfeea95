"""The registered pruners. A sample or token pruner ranks (a float64 key, larger = kept first), a joint one
chooses the samples and ranks their tokens.

    @sample_pruner("entropy", samples=("entropy",))
    def entropy(scores: Scores, draw: Draw) -> Floats: ...

Keyword-only parameters are the pruner's options, checked against their annotations.
"""

import hashlib
import inspect
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from prunegrid.core.errors import PrunegridError
from prunegrid.core.validation import validation_errors

F = TypeVar("F", bound=Callable[..., Any])
Columns = tuple[str, ...] | Callable[[dict[str, Any]], tuple[str, ...]]
TAKEN = ("name", "method", "options", "removal", "match")
_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Pruner:
    """A pruner's function, the score columns it reads (of its options, where those decide) and its `reason`.

    `across`: the token pruner ranks the tokens of all kept samples together. `version` is bumped when the
    pruner's result changes: then selections made with it are made again.
    """

    name: str
    function: Callable[..., Any]
    samples: Columns = ()
    tokens: Columns = ()
    reason: str = "rank"
    across: bool = False
    version: int = 1

    @cached_property
    def options(self) -> type[BaseModel]:
        hints = get_type_hints(self.function, include_extras=True)
        parameters = inspect.signature(self.function).parameters.values()
        own = {p.name: (hints.get(p.name), p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
        for name, (annotation, default) in own.items():
            if annotation is None or default is inspect.Parameter.empty or name in TAKEN:
                raise PrunegridError(
                    f"pruner {self.name}: option {name} needs an annotation and a default, as in {name}: float = 1.0, "
                    f"and another name than {', '.join(TAKEN)}"
                )
        return create_model(self.name, __config__=_CONFIG, **own)  # type: ignore[call-overload, no-any-return]

    @property
    def known(self) -> list[str]:
        return list(self.options.model_fields)

    @property
    def foreign(self) -> bool:
        """Whether the pruner comes from outside this package."""
        return self.function.__module__.split(".")[0] != "prunegrid"

    @property
    def source_digest(self) -> str:
        """SHA-256 of the file that the function is written in: a record, not a reason to prune again."""
        return hashlib.sha256(Path(inspect.getfile(self.function)).read_bytes()).hexdigest()

    def call(self, *arguments: Any, options: dict[str, Any]) -> Any:
        """The function's result. What a foreign one raises is a `PrunegridError` that names it and the line."""
        try:
            return self.function(*arguments, **self.own(options))
        except Exception as error:
            if not self.foreign or isinstance(error, PrunegridError):
                raise
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise PrunegridError(
                f"pruner {self.name} failed ({Path(frame.filename).name}, line {frame.lineno}): "
                f"{type(error).__name__}: {error}"
            ) from error

    def own(self, options: dict[str, Any]) -> dict[str, Any]:
        """The pruner's own among a method's options."""
        return {name: options[name] for name in self.known if name in options}

    def sample_columns(self, options: dict[str, Any]) -> tuple[str, ...]:
        """The sample columns read under `options`, which are complete."""
        return self.samples(options) if callable(self.samples) else self.samples

    def token_columns(self, options: dict[str, Any]) -> tuple[str, ...]:
        """The token columns read under `options`, which are complete."""
        return self.tokens(options) if callable(self.tokens) else self.tokens

    def filled(self, options: dict[str, Any], method: str) -> dict[str, Any]:
        """The pruner's own among `options`, checked, with defaults for the rest."""
        try:
            return self.options.model_validate(self.own(options)).model_dump()
        except ValidationError as error:
            raise validation_errors(error, self.options, method) from None


SAMPLE: dict[str, Pruner] = {}
TOKEN: dict[str, Pruner] = {}
JOINT: dict[str, Pruner] = {}


def sample_pruner(name: str, **about: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, *, options) -> key [n]`."""
    return _register(SAMPLE, TOKEN, name, about)


def token_pruner(name: str, **about: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, *, options) -> key [T]`; it sees the kept samples, block by block."""
    return _register(TOKEN, SAMPLE, name, about)


def joint_pruner(name: str, **about: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, sample_ratio, token_ratio, *, options) -> Choice`."""
    return _register(JOINT, {}, name, about)


def _register(
    registry: dict[str, Pruner], partners: dict[str, Pruner], name: str, about: dict[str, Any]
) -> Callable[[F], F]:
    """A name is taken once. A pair's options are one flat dict: no partner may have one of the same name."""

    def register(function: F) -> F:
        pruner = Pruner(name, function, **about)
        _check_declaration(pruner, registry)
        if name in registry:
            raise PrunegridError(f"pruner {name} is registered twice; give one of them another name")
        for partner in partners.values():
            if both := set(pruner.known) & set(partner.known):
                raise PrunegridError(f"{name} and {partner.name} both have an option {min(both)}; rename one")
        registry[name] = pruner
        return function

    return register


def _check_declaration(pruner: Pruner, registry: dict[str, Pruner]) -> None:
    """Refuse a name that no method can hold, and columns that are not tuples of names or that are never read."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", pruner.name):
        raise PrunegridError(f"pruner {pruner.name!r}: a name has letters, digits, '.', '_' and '-' only")
    for what, columns in (("samples", pruner.samples), ("tokens", pruner.tokens)):
        if not callable(columns) and not isinstance(columns, tuple):
            raise PrunegridError(f"pruner {pruner.name}: {what} is {columns!r}; give a tuple of names: ({columns!r},)")
    if registry is SAMPLE and pruner.tokens:
        raise PrunegridError(f"pruner {pruner.name}: a sample pruner sees no tokens; name per-sample columns")
