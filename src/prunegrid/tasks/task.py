"""One evaluation task: its configuration in lm-eval's format, its functions, its digest. No lm-eval here."""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import sha256

FUNCTION = "!function "
UNHASHED = ("stock", "complete", "options", "patterns", "tokens")
"""Metadata on which no score depends: descriptions, and checks that only reject items."""


@dataclass(frozen=True)
class Task:
    """A task as a benchmark names it.

    `config` is lm-eval's task configuration, complete (no include), in which a function is the text `!function
    module.name` and `metadata` says what prunegrid reads (docs/evaluation.md). `package` is where its modules are
    imported from; `code`, the files of its functions, is part of the digest.
    """

    name: str
    config: dict[str, Any]
    package: str = ""
    code: tuple[Path, ...] = ()

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.config["metadata"]
        return metadata

    @property
    def digest(self) -> str:
        """SHA-256 of what the task's scores depend on: its configuration without `UNHASHED` metadata, and its code."""
        metadata = {key: value for key, value in self.metadata.items() if key not in UNHASHED}
        return sha256(json.dumps({**self.config, "metadata": metadata}, sort_keys=True), *self.code)

    def change_generation(self, gen_kwargs: dict[str, Any]) -> Self:
        """The task with these `generation_kwargs` in place of its own; a temperature means sampling."""
        if "generation_kwargs" not in self.config:
            raise PrunegridError(f"gen_kwargs of {self.name}", "its answers are options, not generated", "remove them")
        kwargs = self.config["generation_kwargs"] | gen_kwargs
        return replace(self, config=self.config | {"generation_kwargs": kwargs | {"do_sample": is_sampled(kwargs)}})

    def resolve(self) -> dict[str, Any]:
        """The configuration with functions in place of their names; its metadata stays text."""
        return {key: self.function(value) if is_function(value) else value for key, value in self.config.items()}

    def function(self, text: str) -> Callable[..., Any]:
        """The function that `!function module.name` stands for."""
        module, _, name = text.removeprefix(FUNCTION).rpartition(".")
        path = f"{self.package}.{module}" if self.package else module
        function: Callable[..., Any] = getattr(importlib.import_module(path), name)
        return function


def is_function(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(FUNCTION)


def is_sampled(generation: dict[str, Any]) -> bool:
    """Whether these `generation_kwargs` draw answers at random."""
    return bool(generation.get("temperature"))
