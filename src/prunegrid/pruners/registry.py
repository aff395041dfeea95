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
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from prunegrid.core.errors import PrunegridError
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.options import Options
from prunegrid.pruners.token_rules import PROMPT_CANDIDATES, PromptKeys, TokenRules

F = TypeVar("F", bound=Callable[..., Any])
Columns = tuple[str, ...] | Callable[[dict[str, Any]], tuple[str, ...]]


@dataclass(frozen=True)
class Pruner:
    """A pruner's function with all that is declared of it in the decorator.

    `samples` and `tokens` are the score columns it reads, or a function of its options that gives them. `label` is its
    name in tables and figures, or such a function; `published` is what the paper's tables call it, where that is not
    its label under default options. `reason` is the one recorded for the samples it keeps. `figure_row` is the place of
    a token pruner in the figure `tokens`, 0 if it is not shown there. A token pruner that ranks the tokens of all kept
    samples together has a `shared_budget`. A joint pruner's `rank(block, draw, *, options)` gives the keys of its
    Choice's `rank` without the Choice: who cuts a shard has only a block of its samples. `readings` are values of its
    options by the name of a source that reads the method otherwise than the paper does: `{method: longest+ppl, reading:
    authors-2025-09}` sets those of both pruners, and options beside it override them. What is recorded is every
    option's value, and not the reading. Increase `version` when the pruner's result changes: selections made with it
    are made again. `calls` are the other pruners, with their complete options, that it calls under its own.
    """

    name: str
    function: Callable[..., Any]
    samples: Columns = ()
    tokens: Columns = ()
    label: str | Callable[[dict[str, Any]], str] = ""
    published: str = ""
    reason: str = "rank"
    figure_row: int = 0
    shared_budget: bool = False
    rank: Callable[..., Any] | None = None
    prompt_keys: Callable[[dict[str, Any]], PromptKeys | None] = lambda options: None
    reads_ratio: Callable[[dict[str, Any]], bool] = lambda options: True
    rules: type[TokenRules] | None = None
    version: int = 1
    option_order: tuple[str, ...] = ()
    readings: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: Callable[[dict[str, Any]], tuple[tuple["Pruner", dict[str, Any]], ...]] = lambda options: ()

    @cached_property
    def options(self) -> Options:
        return Options(self.name, self.function, self.option_order, self.rules)

    @property
    def foreign(self) -> bool:
        """Whether the pruner comes from outside this package."""
        return self.function.__module__.split(".")[0] != "prunegrid"

    @property
    def source_digest(self) -> str:
        """SHA-256 of the file that the function is written in: a record, not a reason to prune again."""
        return hashlib.sha256(Path(inspect.getfile(self.function)).read_bytes()).hexdigest()

    def title(self, options: dict[str, Any] | None = None) -> str:
        """Its label under `options`, which are complete; None: under the defaults."""
        if callable(self.label):
            return self.label(self.options.complete({}, self.name) if options is None else options)
        return self.label or self.name

    def call(self, *arguments: Any, options: dict[str, Any]) -> Any:
        """The function's result. What a foreign one raises is a `PrunegridError` that names it and the line."""
        return self._run(self.function, *arguments, options=options)

    def check_rank(self) -> None:
        """Refuse a joint pruner that has no `rank`, and so cannot cut shards."""
        if self.rank is None:
            problem = "cannot rank the tokens of a single shard"
            raise PrunegridError(f"pruner {self.name}", problem, "give rank=... in its decorator, or do not cut shards")

    def call_rank(self, block: Scores, draw: Draw, options: dict[str, Any]) -> Any:
        """The keys of a block by a joint pruner's `rank`."""
        assert self.rank, "checked before"
        return self._run(self.rank, block, draw, options=options)

    def _run(self, function: Callable[..., Any], *arguments: Any, options: dict[str, Any]) -> Any:
        try:
            return function(*arguments, **self.options.arguments(options))
        except Exception as error:
            if not self.foreign or isinstance(error, PrunegridError):
                raise
            frame = traceback.extract_tb(error.__traceback__)[-1]
            source = f"pruner {self.name} ({Path(frame.filename).name}, line {frame.lineno})"
            raise PrunegridError(source, f"failed with {type(error).__name__}: {error}", "correct it") from error

    def sample_columns(self, options: dict[str, Any]) -> tuple[str, ...]:
        """The sample columns read under `options`, which are complete; refuse prompts that it cannot rank."""
        columns = self.samples(options) if callable(self.samples) else self.samples
        if not self.rules or TokenRules.read(options).candidates == "response":
            return columns
        if not self.prompt_keys(options):
            problem = "cannot let the prompt's tokens compete: the pruner does not rank them"
            raise PrunegridError(f"{self.name}: candidates", problem, "set candidates: response")
        return (*columns, PROMPT_CANDIDATES)

    def token_columns(self, options: dict[str, Any]) -> tuple[str, ...]:
        """The token columns read under `options`, which are complete."""
        return self.tokens(options) if callable(self.tokens) else self.tokens


SAMPLE: dict[str, Pruner] = {}
TOKEN: dict[str, Pruner] = {}
JOINT: dict[str, Pruner] = {}


def label(name: str) -> str | None:
    """What tables and figures call the pruner under default options; None if no pruner has that name."""
    pruner = _by_name(name)
    return pruner.title() if pruner else None


def published_label(name: str) -> str | None:
    """What the paper's tables call the pruner; None if no pruner has that name."""
    pruner = _by_name(name)
    return (pruner.published or pruner.title()) if pruner else None


def _by_name(name: str) -> Pruner | None:
    return next((registry[name] for registry in (SAMPLE, TOKEN, JOINT) if name in registry), None)


def sample_pruner(name: str, **declaration: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, *, options) -> key [n]`, or a `Ranking`."""
    return _register(SAMPLE, TOKEN, name, declaration)


def token_pruner(name: str, **declaration: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, *, options) -> key [T]`; it sees the kept samples, block by block.

    The options of `TokenRules` are added to its own.
    """
    return _register(TOKEN, SAMPLE, name, declaration | {"rules": TokenRules})


def joint_pruner(name: str, **declaration: Any) -> Callable[[F], F]:
    """Register `f(scores, draw, sample_ratio, token_ratio, *, options) -> Choice`."""
    return _register(JOINT, {}, name, declaration)


def _register(
    registry: dict[str, Pruner], partners: dict[str, Pruner], name: str, declaration: dict[str, Any]
) -> Callable[[F], F]:
    """A name is taken once. A pair's options are one flat dict: no partner may have one of the same name."""

    def register(function: F) -> F:
        pruner = Pruner(name, function, **declaration)
        _check_declaration(pruner, registry)
        if name in registry:
            raise PrunegridError(f"pruner {name}", "is registered twice", "rename one of the two")
        for partner in partners.values():
            if shared := set(pruner.options.names) & set(partner.options.names):
                problem = f"has an option {min(shared)}, as {partner.name} does"
                raise PrunegridError(f"pruner {name}", problem, "rename one of the two")
        registry[name] = pruner
        return function

    return register


def _check_declaration(pruner: Pruner, registry: dict[str, Pruner]) -> None:
    """Refuse a name that no method can hold, and columns that are not tuples of names or that are never read."""
    source = f"pruner {pruner.name}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", pruner.name):
        raise PrunegridError(
            source, "has a name that cannot be part of a method", "use letters, digits, '.', '_' and '-' only"
        )
    for keyword, columns in (("samples", pruner.samples), ("tokens", pruner.tokens)):
        if not callable(columns) and not isinstance(columns, tuple):
            raise PrunegridError(source, f"{keyword} is {columns!r}", f"give a tuple of names: ({columns!r},)")
    if registry is SAMPLE and pruner.tokens:
        raise PrunegridError(source, "reads token columns, but a sample pruner sees no tokens", "name sample columns")
