"""A pruner's options: the keyword-only parameters of its function, checked against their annotations."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from prunegrid.core.errors import PrunegridError
from prunegrid.core.validation import validation_errors

RESERVED = ("name", "method", "options", "removal", "match", "training", "reading")  # keys of a variant in the config
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class OptionGroup(BaseModel):
    """Rarely used options, which a pruner takes as one parameter. In the config each is an option like any other."""

    model_config = ConfigDict(**STRICT, frozen=True)


def added(absent: Any) -> Any:
    """For the annotation of an option that finished results do not have: `Annotated[int, added(0)]`.

    With the value `absent`, which is also its default and means what was done before, it is left out of dumps.
    """
    return Field(exclude_if=lambda value: value == absent)


class Options:
    """The options of a pruner's function. `order` names those that come first, if the signature's order is another.

    Finished results fix the order: Snakemake compares the text of a job's parameters, in which a dictionary has one.
    Options of `rules` come last: those of every token pruner, which its function does not take.
    """

    def __init__(
        self,
        pruner: str,
        function: Callable[..., Any],
        order: Sequence[str] = (),
        rules: type[OptionGroup] | None = None,
    ) -> None:
        self.groups: dict[str, type[OptionGroup]] = {}
        self.rules = _fields(rules) if rules else {}
        fields: dict[str, Any] = {}
        hints = get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is not parameter.KEYWORD_ONLY:
                continue
            name, annotation = parameter.name, hints.get(parameter.name)
            if isinstance(annotation, type) and issubclass(annotation, OptionGroup):
                self.groups[name] = annotation
                fields |= _fields(annotation)
            else:
                _check_parameter(pruner, name, annotation, parameter.default)
                fields[name] = (annotation, parameter.default)
        if shared := self.rules.keys() & fields.keys():
            problem = "has the name of an option that every token pruner has"
            raise PrunegridError(f"pruner {pruner}: option {min(shared)}", problem, "rename it")
        ordered = {name: fields[name] for name in [*order, *fields]} | self.rules
        self.model: type[BaseModel] = create_model(pruner, __config__=STRICT, **ordered)

    @property
    def names(self) -> list[str]:
        return list(self.model.model_fields)

    def pick(self, options: dict[str, Any]) -> dict[str, Any]:
        """The pruner's own among a method's options."""
        return {name: options[name] for name in self.names if name in options}

    def complete(self, options: dict[str, Any], method: str) -> dict[str, Any]:
        """The pruner's own among `options`, checked, with defaults for the others."""
        try:
            return self.model.model_validate(self.pick(options)).model_dump()
        except ValidationError as error:
            raise validation_errors(error, self.model, method) from None

    def arguments(self, options: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments of the function, from complete options."""
        values = {name: value for name, value in self.pick(options).items() if name not in self.rules}
        for name, group in self.groups.items():
            values[name] = group(**{field: values.pop(field) for field in group.model_fields if field in values})
        return values


def _fields(group: type[OptionGroup]) -> dict[str, Any]:
    return {name: (field.annotation, field) for name, field in group.model_fields.items()}


def _check_parameter(pruner: str, name: str, annotation: Any, default: Any) -> None:
    source = f"pruner {pruner}: option {name}"
    if annotation is None or default is inspect.Parameter.empty:
        raise PrunegridError(source, "has no annotation or no default", f"give both, as in {name}: float = 1.0")
    if name in RESERVED:
        raise PrunegridError(source, "has the name of a key of every variant", "rename it")
