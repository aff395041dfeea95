"""What a table says, as plain data: `prunegrid.table.layout` fills it in, one module per format shows it."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from prunegrid.experiment.sections import Budget

TIMES = "\N{MULTIPLICATION SIGN}"
RowKind = Literal["pair", "joint", "reference"]
Unit = Literal["seconds", "GPU-hours"]


@dataclass(frozen=True)
class Entry:
    """One place of the table: means over seeds, rounded to the two decimals that are shown.

    `score` and its standard deviation over seeds `sd` (percent; None below two seeds) are over the `done` of
    `seeds`; where none is done `score` is None. `status` is the worst of the seeds'. `delta` (points) is over the
    `compared` seeds, from `low` to `high` with 95 % confidence: item noise alone where one seed is compared, both
    noises where several are; None where there are too few items. `p_holm` and `significant` are known from three seeds
    on. `marks` number the footnotes about it.
    """

    status: str = "missing"
    n_seeds: int = 1
    score: float | None = None
    sd: float | None = None
    n_done: int = 0
    delta: float | None = None
    n_compared: int = 0
    low: float | None = None
    high: float | None = None
    p_holm: float | None = None
    significant: bool | None = None
    best: bool = False
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measurements:
    """What one row of one model kept, trained on and cost: means over seeds; None where it is not known.

    `kept` is (samples, tokens of the kept samples) as fractions, `tokens` those in the loss, `cost` in the table's
    unit, `seeds` how many of the row's seeds have every benchmark (None for Zero-Shot, which has no seed).
    """

    realised: tuple[float, float] | None = None
    tokens: float | None = None
    cost: float | None = None
    n_seeds: int | None = None


@dataclass(frozen=True)
class Row:
    """One variant under one budget: its name, labels, an entry per (model, benchmark), what was measured per model.

    `against` is the label of the row that its deltas are against; empty where it has none, or none is named.
    """

    variant: str
    kind: RowKind
    sample: str
    token: str
    entries: dict[tuple[str, str], Entry]
    measurements: dict[str, Measurements]
    baseline: str = ""


def budget_of(line: Any) -> Budget | None:
    """The budget of a line of a results frame; reference cells have none."""
    if pd.isna(line.sample_ratio):
        return None
    return Budget(sample_ratio=line.sample_ratio, token_ratio=line.token_ratio)


@dataclass(frozen=True)
class Group:
    """The rows of one budget, Full Dataset last. The first group has no budget: Zero-Shot."""

    budget: Budget | None
    rows: list[Row]

    @property
    def title(self) -> str:
        ratios = self.budget and (self.budget.sample_ratio, self.budget.token_ratio)
        return f" % samples {TIMES} ".join(f"{100 * r:.6g}" for r in ratios) + " % tokens" if ratios else ""


@dataclass(frozen=True)
class Table:
    """What a table says, in the order in which it says it. `seeds` is how many seeds its means are over.

    `against` says what the deltas are from, `judged` whether it was asked how far they may be trusted (a published
    table's are not); `unit` is what costs are in; `footer` stands below the footnotes.
    """

    title: str
    note: str
    models: list[str]
    benchmarks: list[str]
    groups: list[Group]
    n_seeds: int
    baseline: str
    noise_estimated: bool
    unit: Unit
    footnotes: list[str]
    footer: tuple[str, ...] = ()

    @property
    def rows(self) -> list[Row]:
        return [row for group in self.groups for row in group.rows]

    @property
    def entries(self) -> list[Entry]:
        return [entry for row in self.rows for entry in row.entries.values()]

    def marks(self, model: str) -> set[int]:
        """The numbers of the footnotes that the model's entries refer to."""
        return {mark for row in self.rows for (name, _), e in row.entries.items() if name == model for mark in e.marks}

    @property
    def deltas(self) -> bool:
        return any(entry.delta is not None for entry in self.entries)

    @property
    def intervals(self) -> bool:
        """Whether any delta has its interval."""
        return any(entry.low is not None for entry in self.entries)

    @property
    def tested(self) -> bool:
        """Whether any delta is over enough seeds and items to be told from chance."""
        return any(entry.p_holm is not None for entry in self.entries)

    @property
    def measures(self) -> list[str]:
        """The columns after the benchmarks: those that a pruned row has something in, and `Seeds` where they differ."""
        pruned = [measured for row in self.rows if row.kind != "reference" for measured in row.measurements.values()]
        seeds = {measured.n_seeds for row in self.rows for measured in row.measurements.values()} - {None}
        there = {
            "Kept": any(measured.realised for measured in pruned),
            "Tokens": any(measured.tokens is not None for measured in pruned),
            "Cost": any(measured.cost is not None for measured in pruned),
            "Seeds": self.n_seeds > 1 and len(seeds) > 1,
        }
        return [name for name, holds in there.items() if holds]
