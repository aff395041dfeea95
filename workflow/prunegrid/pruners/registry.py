"""The registered pruners. A sample or token pruner ranks (a float64 key, larger = kept first), a joint one
selects.

    @sample_pruner("entropy", samples=("entropy",))
    def entropy(scores: Scores, draw: Draw) -> Floats: ...

Keyword-only parameters are the pruner's options, checked against their annotations.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from prunegrid.complaints import complain
from prunegrid.errors import PrunegridError

F = TypeVar("F", bound=Callable[..., Any])
_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Pruner:
    """A pruner's function, the score columns it reads and the `reason` that its samples are kept for."""

    name: str
    function: Callable[..., Any]
    samples: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    reason: str = "rank"

    @cached_property
    def options(self) -> type[BaseModel]:
        hints = get_type_hints(self.function, include_extras=True)
        parameters = inspect.signature(self.function).parameters.values()
        own = {p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
        return create_model(self.name, __config__=_CONFIG, **own)  # type: ignore[call-overload, no-any-return]

    @property
    def known(self) -> list[str]:
        return list(self.options.model_fields)

    def filled(self, options: dict[str, Any], method: str) -> dict[str, Any]:
        """The pruner's own among `options`, checked, with defaults for the rest."""
        own = {name: value for name, value in options.items() if name in self.known}
        try:
            return self.options.model_validate(own).model_dump()
        except ValidationError as error:
            known = f"options of {method}: {', '.join(self.known)}"
            raise PrunegridError(f"{complain(error, self.options, method)} ({known})") from None


SAMPLE: dict[str, Pruner] = {}
TOKEN: dict[str, Pruner] = {}
JOINT: dict[str, Pruner] = {}


def sample_pruner(name: str, **about: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, *, options) -> key [n]`."""
    return _register(SAMPLE, TOKEN, name, about)


def token_pruner(name: str, **about: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, *, options) -> key [T]`."""
    return _register(TOKEN, SAMPLE, name, about)


def joint_pruner(name: str, **about: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, sample_ratio, token_ratio, *, options) -> Selection`."""
    return _register(JOINT, {}, name, about)


def _register(
    registry: dict[str, Pruner], partners: dict[str, Pruner], name: str, about: dict[str, Any]
) -> Callable[[F], F]:
    """A name is taken once. A pair's options are one flat dict: no partner may have one of the same name."""

    def register(function: F) -> F:
        pruner = Pruner(name, function, **about)
        if name in registry:
            raise PrunegridError(f"pruner {name} is registered twice; give one of them another name")
        for partner in partners.values():
            if both := set(pruner.known) & set(partner.known):
                raise PrunegridError(f"{name} and {partner.name} both have an option {min(both)}; rename one")
        registry[name] = pruner
        return function

    return register
