"""One evaluation task: its configuration in lm-eval's format, its functions, its digest. No lm-eval here."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import sha256
from prunegrid.core.plugins import import_module

FUNCTION = "!function "
UNHASHED = ("stock", "complete", "options", "patterns", "tokens")
"""Metadata on which no score depends: descriptions, and checks that only reject items."""
ANSWER = ("until", "max_gen_toks", "do_sample")
"""The `generation_kwargs` that every task gives."""
SAMPLING = ("temperature", "top_p", "top_k", "seed")
WHOLE_STRING = ("nll_per_token", "nll_per_prediction")
"""Values of the metadata `scored_by`: the NLL of prompt and option, divided by all of its tokens or the predicted ones.

Each is the type of lm-eval's request, and the name of the engines' method that answers it.
"""
LEAST_TEMPERATURE = 0.01  # below it vLLM takes this one


@dataclass(frozen=True)
class Task:
    """A task as a benchmark names it.

    `config` is lm-eval's task configuration, complete (no include), in which a function is the text `!function
    module.name` and `metadata` says what prunegrid reads (CONTRIBUTING.md, recipes). `package` is where its
    modules are
    imported from, if it has them; `code`, the files of its functions, is part of the digest. `data` is the data set
    (keys of the section `data`) that is asked where a benchmark names none.
    """

    name: str
    config: dict[str, Any]
    package: str = ""
    code: tuple[Path, ...] = ()
    data: dict[str, Any] | None = None

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
        is_sampled = find_temperature(kwargs) > 0
        kept = {key: value for key, value in kwargs.items() if is_sampled or key not in SAMPLING}
        return replace(self, config=self.config | {"generation_kwargs": kept | {"do_sample": is_sampled}})

    def check_generation(self) -> None:
        """Raise for `generation_kwargs` that no engine follows."""
        if "generation_kwargs" not in self.config:
            return
        kwargs, place = self.config["generation_kwargs"], f"generation_kwargs of {self.name}"
        if (keys := set(kwargs) - {*SAMPLING}) != {*ANSWER}:
            unknown, missing = sorted(keys - {*ANSWER}), sorted({*ANSWER} - keys)
            problem = f"{unknown[0]} is not followed" if unknown else f"{missing[0]} is missing"
            raise PrunegridError(place, problem, f"give {', '.join(ANSWER)}; to sample {', '.join(SAMPLING)}")
        temperature = find_temperature(kwargs)
        if 0 < temperature < LEAST_TEMPERATURE:
            problem = f"temperature {temperature} is nearly greedy, and its numbers overflow"
            raise PrunegridError(place, problem, f"give 0, or at least {LEAST_TEMPERATURE}")
        if temperature and (self.config.get("repeats") or 1) > 1:
            problem = f"the task's own repeats ({self.config['repeats']}) would sample with the same random numbers"
            raise PrunegridError(place, problem, "remove it, and give the benchmark repeats")

    def with_metadata(self, **values: Any) -> Self:
        """The task with these `values` in place of its metadata's; unchanged without any."""
        return replace(self, config={**self.config, "metadata": {**self.metadata, **values}}) if values else self

    def prepare(self, doc: dict[str, Any]) -> dict[str, Any]:
        """The item as lm-eval gets it. Raises `ValueError` ("what is wrong; how to fix it") if it cannot be asked."""
        return doc

    def resolve(self) -> dict[str, Any]:
        """The configuration with functions in place of their names; its metadata stays text.

        Without `process_docs`, which is done when the items are read.
        """
        config = {key: value for key, value in self.config.items() if key != "process_docs"}
        return {key: value if key == "metadata" else self._resolve(value) for key, value in config.items()}

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._resolve(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._resolve(inner) for inner in value]
        return self.function(value) if is_function(value) else value

    def function(self, text: str) -> Callable[..., Any]:
        """The function that `!function module.name` stands for; a `PrunegridError` if there is none."""
        module, _, name = text.removeprefix(FUNCTION).rpartition(".")
        path = f"{self.package}.{module}" if _has_module(self.package, module) else module
        function: Callable[..., Any] | None = getattr(import_module(path, f"task {self.name}: {text}"), name, None)
        if function is None:
            raise PrunegridError(f"task {self.name}: {text}", f"{module} has no function {name!r}", "correct the name")
        return function


def _has_module(package: str, module: str) -> bool:
    try:
        return bool(package) and importlib.util.find_spec(f"{package}.{module}") is not None
    except ModuleNotFoundError:
        return False


def is_function(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(FUNCTION)


def find_temperature(generation: Mapping[str, Any]) -> float:
    """The temperature at which these `generation_kwargs` draw answers; 0: greedy.

    One that is not given is 1 where they sample, as in transformers.
    """
    temperature = generation.get("temperature")
    return float(generation["do_sample"] if temperature is None else temperature)
