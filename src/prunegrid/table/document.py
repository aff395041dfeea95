"""The contents of a table as plain data: `prunegrid.table.layout` fills it in, one module per format renders it."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from prunegrid.experiment.variant import Budget

TIMES = "\N{MULTIPLICATION SIGN}"
RowKind = Literal["pair", "joint", "reference"]
Unit = Literal["seconds", "GPU-hours"]

# Columns of a results frame.
BUDGET = ["sample_ratio", "token_ratio"]
PRUNERS = ["sample_pruner", "token_pruner"]
ROW = [*BUDGET, "variant"]


@dataclass(frozen=True)
class Entry:
    """One place of the table: means over seeds, rounded to the two decimals that are shown.

    `score` and `sd`, its standard deviation over seeds (percent; None below two seeds), are over `n_done` of `n_seeds`;
    `score` is None if none is done. `status` is the worst of the seeds'. `delta` (points) is over `n_compared` seeds.
    `low` to `high` is its 95 % interval: item noise alone for one seed, both noises for several; None if there are too
    few items. `p_adjusted` and `significant` exist from three seeds on. `marks` are the numbers of its footnotes.
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
    p_adjusted: float | None = None
    significant: bool | None = None
    best: bool = False
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measurements:
    """What one row of one model kept, trained on and cost: means over seeds; None if unknown.

    `realised` is (samples, tokens of the kept samples) as fractions, `tokens` those in the loss, `passes` the samples
    that were trained on and `ends` the ends of sequences that were learned, both over all epochs; `cost` is in the
    table's unit, `n_seeds` how many of the row's seeds have every benchmark (None for Zero-Shot, which has no seed).
    """

    realised: tuple[float, float] | None = None
    tokens: float | None = None
    steps: float | None = None
    passes: float | None = None
    ends: float | None = None
    cost: float | None = None
    n_seeds: int | None = None


@dataclass(frozen=True)
class Row:
    """One variant under one budget: its name, its labels, an entry per (model, benchmark), measurements per model.

    `baseline` is the label of the row that its deltas are against; empty if it has none.
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
class Answer:
    """What the results say to a contrast of the config: its name, the question in words, the mean delta in points.

    `low` to `high`: as an entry's. `p` and `p_adjusted`, over the `n_family` contrasts, exist from three seeds on. All
    are None until its cells are done. `remark` says when it was stated.
    """

    name: str
    question: str
    n_seeds: int
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n_family: int | None = None
    significant: bool | None = None
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A table's contents in their order. Its means are over `n_seeds` seeds.

    `baseline` describes what the deltas are against; `noise_estimated` is whether their noise was estimated (not in a
    published table); `unit` is that of costs; `published` has the labels that the paper's tables have another name for,
    with that name; `answers` stand below the rows, `footer` below the footnotes.
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
    answers: tuple[Answer, ...] = ()
    published: dict[str, str] = field(default_factory=dict)

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
        """Whether any delta is over enough seeds and items for a test."""
        return any(entry.p_adjusted is not None for entry in self.entries)

    @property
    def measures(self) -> list[str]:
        """The columns after the benchmarks: those with a value in any pruned row, and `Seeds` if rows differ in it."""
        pruned = [values for row in self.rows if row.kind != "reference" for values in row.measurements.values()]
        seeds = {values.n_seeds for row in self.rows for values in row.measurements.values()} - {None}
        columns = {
            "Kept": any(values.realised for values in pruned),
            "Tokens": any(values.tokens is not None for values in pruned),
            "Steps": any(values.steps is not None for values in pruned),
            "Passes": any(values.passes is not None for values in pruned),
            "Ends": any(values.ends is not None for values in pruned),
            "Cost": any(values.cost is not None for values in pruned),
            "Seeds": self.n_seeds > 1 and len(seeds) > 1,
        }
        return [name for name, is_shown in columns.items() if is_shown]
