"""What a ladder's decomposition asks for: each number as weights of scores, before any score is known.

The gap is the mean over benchmarks of one row's score minus another's. A difference contributes, upwards, the gap of
the paper's reading with it minus the gap without; downwards, the gap of the copy's reading minus that without it; and
the mean of the two. What the contributions leave of the whole is interaction: differences that act together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prunegrid.experiment.ladder import PAPER, Ladder, State

Source = tuple[str, str]
"""A variant, and the column that its score is read from."""
Weights = Mapping[str, Mapping[Source, float]]
"""By benchmark. A benchmark without weights has no part in the number, which is then exactly zero there."""

NEGLIGIBLE = 1e-12
PARTS = ("paper", "up", "down", "contribution", "copy", "total", "left-over")


@dataclass(frozen=True)
class Term:
    """One number of the decomposition: which of `PARTS` it is, and of which difference."""

    part: str
    difference: str
    label: str
    weights: Weights

    @property
    def sources(self) -> set[Source]:
        return {source for weights in self.weights.values() for source in weights}


def terms(ladder: Ladder, rows: Sequence[str], columns: Sequence[str]) -> list[Term]:
    """All numbers of the decomposition of the gap between two rows, over the experiment's columns.

    A difference that changes neither row has none.
    """
    benchmarks = ladder.benchmarks(columns)

    def gap(state: State) -> Weights:
        return {
            name: _sum(
                (sign, {(ladder.variant(row, state), ladder.column(name, state)): 1.0})
                for sign, row in zip((1, -1), rows, strict=True)
            )
            for name in benchmarks
        }

    paper, copy = gap(PAPER), gap(ladder.copy_state)
    result, contributions = [Term("paper", "", "", paper)], []
    for step in ladder.steps:
        sides = {"up": step.up, "down": step.down}
        parts = {side: combined((1, gap(pair[1])), (-1, gap(pair[0]))) for side, pair in sides.items() if pair}
        parts = {side: weights for side, weights in parts.items() if any(weights.values())}
        if parts:
            contributions.append(combined(*((1 / len(parts), weights) for weights in parts.values())))
            parts["contribution"] = contributions[-1]
        result += [Term(part, step.name, step.label, weights) for part, weights in parts.items()]
    total = combined((1, copy), (-1, paper))
    left_over = combined((1, total), *((-1, weights) for weights in contributions))
    return [*result, Term("copy", "", "", copy), Term("total", "", "", total), Term("left-over", "", "", left_over)]


def combined(*parts: tuple[float, Weights]) -> Weights:
    """A weighted sum."""
    return {name: _sum((factor, weights[name]) for factor, weights in parts) for name in parts[0][1]}


def _sum(parts: Iterable[tuple[float, Mapping[Source, float]]]) -> dict[Source, float]:
    total: dict[Source, float] = {}
    for factor, weights in parts:
        for source, weight in weights.items():
            total[source] = total.get(source, 0.0) + factor * weight
    return {source: weight for source, weight in total.items() if abs(weight) > NEGLIGIBLE}
