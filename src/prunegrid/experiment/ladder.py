"""The ladder of a config: one row read in two ways, and the differences between the readings, each alone.

`rows` are rows of the table in the paper's reading, `differences` what the other reading (the copy's) has otherwise.
A state is the set of differences that are applied: none (paper), all (copy), and for each difference the paper's state
with it and the copy's without it. A row has a variant for each state that changes it, and only for these:
`random-paper`, `random-paper+twice`, `random-copy-twice`, `random-copy`. Differences of evaluation (`columns`) train
nothing: they read other columns of the same cells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from prunegrid import pruners
from prunegrid.core.validation import validation_errors
from prunegrid.experiment.section import Name, Section, added
from prunegrid.experiment.training import Training
from prunegrid.experiment.variant import Variant

State = frozenset[str]
PAPER: State = frozenset()
Body = dict[str, Any]


def _gathered(value: Any, key: str, fields: Iterable[str]) -> Any:
    """The long form of a difference: users write the names of rows or columns beside its own keys."""
    if not isinstance(value, dict) or key in value:
        return value
    fields = set(fields)
    others = {name: item for name, item in value.items() if name not in fields}
    return {name: item for name, item in value.items() if name in fields} | {key: others}


def _open_schema(schema: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema of both forms."""
    schema["additionalProperties"] = schema["properties"][key]["additionalProperties"]
    schema["required"].remove(key)
    return schema


class Difference(Section):
    """What the copy does otherwise, row by row: the keys that it changes. A null removes a key."""

    label: str = Field(description="name in tables and figures")
    only: Literal["up", "down"] | None = added(
        None, description="up: only add it to the paper's reading; down: only remove it from the other"
    )
    base: Name | None = added(None, description="difference that this one presupposes")
    rows: dict[Name, Body] = Field(min_length=1, description="keys that change, by row")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return _open_schema(handler.resolve_ref_schema(handler(core_schema)), "rows")

    @model_validator(mode="before")
    @classmethod
    def gather_rows(cls, value: Any) -> Any:
        return _gathered(value, "rows", cls.model_fields)


class Columns(Section):
    """What the copy evaluates otherwise: the column that is read instead of another."""

    label: str = Field(description="name in tables and figures")
    columns: dict[Name, Name] = Field(min_length=1, description="the other reading's column, by column")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return _open_schema(handler.resolve_ref_schema(handler(core_schema)), "columns")

    @model_validator(mode="before")
    @classmethod
    def gather_columns(cls, value: Any) -> Any:
        return _gathered(value, "columns", cls.model_fields)


@dataclass(frozen=True)
class Step:
    """A difference as pairs of states, without and with it: added to the paper's reading, and taken from the copy's."""

    name: str
    label: str
    up: tuple[State, State] | None
    down: tuple[State, State] | None


class Ladder(Section):
    """Two readings of a few rows, and the differences between them."""

    gap: Annotated[list[Name], Field(min_length=2, max_length=2)] = Field(
        description="two rows; the difference of their scores is decomposed"
    )
    rows: dict[Name, Body] = Field(
        min_length=2, description="method, mode, options, ... of each row in the paper's reading"
    )
    differences: dict[Name, Difference] = Field(min_length=1, description="differences in training, in order")
    columns: dict[Name, Columns] = added({}, description="differences in evaluation")

    @model_validator(mode="after")
    def check_names(self) -> Self:
        known = ", ".join(self.rows)
        for row in {*self.rows} & {*Difference.model_fields}:
            raise ValueError(f"rows has {row!r}, a key of every difference; rename the row")
        for row in [row for row in self.gap if row not in self.rows]:
            raise ValueError(f"gap has no row {row!r}; name two of {known}")
        if self.gap[0] == self.gap[1]:
            raise ValueError(f"gap compares {self.gap[0]} with itself; name two of {known}")
        for row, body in self.rows.items():
            if body.get("match") is not None and body["match"] not in self.rows:
                raise ValueError(f"rows.{row}: match has no row {body['match']!r}; name one of {known}")
        for name, difference in self.differences.items():
            for row in [row for row in difference.rows if row not in self.rows]:
                raise ValueError(f"differences.{name} has no row {row!r}; name some of {known}")
            self._check_base(name, difference.base)
        for name in self.differences.keys() & self.columns.keys():
            raise ValueError(f"columns.{name} has the name of a difference; rename it")
        return self

    def _check_base(self, name: str, base: str | None) -> None:
        if base is None:
            return
        names = [other for other, difference in self.differences.items() if not difference.base]
        if base not in names:
            raise ValueError(f"differences.{name}: base has no difference {base!r}; name one of {', '.join(names)}")

    @cached_property
    def copy_state(self) -> State:
        return frozenset([*self.differences, *self.columns])

    @property
    def steps(self) -> list[Step]:
        """The differences in order, those of evaluation last."""
        steps = [self._step(name, difference) for name, difference in self.differences.items()]
        whole = self.copy_state
        for name, columns in self.columns.items():
            steps.append(Step(name, columns.label, (PAPER, frozenset([name])), (whole - {name}, whole)))
        return steps

    def _step(self, name: str, difference: Difference) -> Step:
        """Up from the paper's state with the difference's base; down in the copy's without what is based on it."""
        start = frozenset([difference.base]) if difference.base else PAPER
        end = self.copy_state - {other for other, difference in self.differences.items() if difference.base == name}
        up = None if difference.only == "down" else (start, start | {name})
        down = None if difference.only == "up" else (end - {name}, end)
        return Step(name, difference.label, up, down)

    def variant(self, row: str, state: State) -> str:
        """The name of a row's variant in a state, which only the differences that change the row decide."""
        every, applied, absent = self._parts(row, state)
        if not applied:
            return f"{row}-paper"
        if len(applied) == len(every):
            return f"{row}-copy"
        if len(applied) <= len(absent):
            return "+".join([f"{row}-paper", *applied])
        return "-".join([f"{row}-copy", *absent])

    def column(self, benchmark: str, state: State) -> str:
        """The column that is read for a benchmark in a state."""
        for name, columns in self.columns.items():
            if name in state:
                benchmark = columns.columns.get(benchmark, benchmark)
        return benchmark

    def benchmarks(self, columns: Iterable[str]) -> list[str]:
        """The experiment's columns in the paper's reading: without those that only a difference reads."""
        others = {target for columns in self.columns.values() for target in columns.columns.values()}
        return [column for column in columns if column not in others]

    @property
    def variants(self) -> dict[str, Body]:
        """Every variant that a step needs, by name, row by row: the paper's first, the copy's last."""
        bodies: dict[str, Body] = {}
        for row in self.rows:
            steps = [step for step in self.steps if self._changes(step.name, row)]
            pairs = [pair for side in ("up", "down") for step in steps if (pair := getattr(step, side))]
            for state in (PAPER, *(state for pair in pairs for state in pair), self.copy_state):
                self._add(bodies, row, state)
            if (copy := self.variant(row, self.copy_state)) != self.variant(row, PAPER):
                bodies[copy] = bodies.pop(copy)
        return bodies

    def _add(self, bodies: dict[str, Body], row: str, state: State) -> None:
        """Add the row's variant in a state, and the one that it is matched to: that of the nearer reading."""
        if (name := self.variant(row, state)) in bodies:
            return
        body = bodies[name] = self._body(row, state)
        if body.get("match") is not None:
            _, applied, absent = self._parts(row, state)
            target = self.copy_state - {*absent} if "-copy" in name[len(row) :] else frozenset(applied)
            self._add(bodies, body["match"], target)
            body["match"] = self.variant(body["match"], target)

    def _body(self, row: str, state: State) -> Body:
        body = dict(self.rows[row])
        for name, difference in self.differences.items():
            if name in state:
                body = _merged(body, difference.rows.get(row, {}))
        return body

    def _changes(self, name: str, row: str) -> bool:
        return name in self.differences and row in self.differences[name].rows

    def _parts(self, row: str, state: State) -> tuple[list[str], list[str], list[str]]:
        """The differences that change the row: all, those of the state, and the others."""
        every = [name for name in self.differences if self._changes(name, row)]
        return every, [name for name in every if name in state], [name for name in every if name not in state]

    def check(self, variants: Sequence[Variant], training: Training, columns: Sequence[str]) -> None:
        """Raise ValueError if a difference changes nothing in this experiment, or names a column that it lacks."""
        named = {variant.name: variant for variant in variants}
        for name, difference in self.differences.items():
            step = self._step(name, difference)
            states = step.up or step.down
            assert states
            for row in difference.rows:
                sides = [_decided(named[self.variant(row, state)], training) for state in states]
                if sides[0] == sides[1]:
                    raise ValueError(f"ladder.differences.{name} changes nothing in {row}; remove {row} from it")
        for name, pairs in self.columns.items():
            for column in [column for pair in pairs.columns.items() for column in pair if column not in columns]:
                known = ", ".join(columns)
                raise ValueError(f"ladder.columns.{name}: there is no column {column!r}; name some of {known}")
            if not any(column in self.benchmarks(columns) for column in pairs.columns):
                raise ValueError(f"ladder.columns.{name} changes no benchmark of the paper's reading; name one")


def expand(values: Any) -> Any:
    """The config's values with the ladder's variants behind its own; as they are if the ladder is not valid.

    An experiment that was recorded has these variants already. ValueError if another variant has the name of one.
    """
    if not isinstance(values, dict) or values.get("ladder") is None:
        return values
    try:
        ladder = Ladder.model_validate(values["ladder"])
        written = [Variant.model_validate(value) for value in values.get("variants") or []]
    except ValidationError:  # the field's own validation says what is wrong
        return {"variants": []} | values
    try:
        made = [Variant.model_validate({name: body}) for name, body in ladder.variants.items()]
    except ValidationError as error:
        raise ValueError(str(validation_errors(error, Variant, "ladder"))) from None
    names = {variant.name: variant for variant in made}
    for variant in written:
        if variant.name in names and variant != names[variant.name]:
            raise ValueError(f"variants has {variant.name!r}, which is a variant of the ladder; rename it")
    present = {variant.name for variant in written}
    return values | {"variants": [*written, *(variant for variant in made if variant.name not in present)]}


def _merged(body: Mapping[str, Any], changes: Mapping[str, Any]) -> Body:
    """The body with other values; a dictionary is merged, and a null removes its key."""
    result = dict(body)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result


def _decided(variant: Variant, training: Training) -> list[Any]:
    """All that decides a variant's cells but its name: two variants with the same are one."""
    options = pruners.complete_options(variant.method, variant.options)
    whole = Training.model_validate(training.model_dump() | variant.training)
    return [variant.method, options, variant.mode, variant.removal, variant.match, whole]
