"""`seeds: auto(MIN, MAX, detect=POINTS)`: a number of seeds that follows from the noise of the cells that are finished.

A run starts with MIN seeds: 0, 1, 2, ... Which number a results folder has reached is in its `seeds.json`; it never
falls. `prunegrid.statistics.seed_count` says when it grows.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout

if TYPE_CHECKING:
    from prunegrid.experiment.config import Experiment

FORM = re.compile(r"auto\(\s*(\d+)\s*,\s*(\d+)\s*,\s*detect\s*=\s*(\d+(?:\.\d+)?)\s*\)")
LEAST = 3  # a test needs as many


@dataclass(frozen=True)
class SeedRule:
    """At least `least` seeds and at most `most`, so that a difference of `detect` points in Avg is found."""

    least: int
    most: int
    detect: float


def parse(text: str) -> SeedRule:
    """The rule that a text is; ValueError, which names the key, if it is none or its numbers cannot be met."""
    match = FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"seeds is {text!r}; write a list such as [0, 1, 2], or auto(3, 10, detect=3)")
    rule = SeedRule(int(match[1]), int(match[2]), float(match[3]))
    if rule.least < LEAST:
        raise ValueError(f"seeds: {text} starts with {rule.least}; start with {LEAST} or more, which a test needs")
    if rule.most < rule.least:
        raise ValueError(f"seeds: {text} has a maximum below its minimum; write the smaller number first")
    if not rule.detect > 0:
        raise ValueError(f"seeds: {text} has detect at or below 0; give a number above 0")
    return rule


def allow_text(schema: dict[str, Any]) -> None:
    """Make the JSON schema of `seeds` allow the text beside the list."""
    numbers = {key: schema.pop(key) for key in ("items", "minItems", "type") if key in schema}
    schema["anyOf"] = [numbers, {"type": "string", "pattern": FORM.pattern}]


def recorded(experiment: "Experiment", root: Path) -> "Experiment":
    """The experiment with as many seeds as its results folder has reached; itself where `seeds` is a list."""
    path = root / layout.SEEDS
    if experiment.seed_rule is None or not path.exists():
        return experiment
    count = files.read_json(path).get("seeds")
    if not isinstance(count, int):
        raise PrunegridError(path, f"seeds is {count!r}, not a number", "delete the file to start with the minimum")
    return with_count(experiment, count)


def with_count(experiment: "Experiment", count: int) -> "Experiment":
    """The experiment with `count` seeds, or the nearest number that its rule allows."""
    if experiment.seed_rule is None:
        return experiment
    rule = parse(experiment.seed_rule)
    return experiment.model_copy(update={"seeds": list(range(min(max(count, rule.least), rule.most)))})


def record(experiment: "Experiment", root: Path) -> None:
    """Leave the number of seeds in the results folder, for the jobs of this run and for later runs."""
    if experiment.seed_rule is not None:
        files.write_json(root / layout.SEEDS, {"seeds": len(experiment.seeds), "rule": experiment.seed_rule})
