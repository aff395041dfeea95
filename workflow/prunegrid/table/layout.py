"""Lay a results frame out as the published table: groups of one budget, models side by side, deltas.

What the table says is decided here; how it looks in Markdown, CSV and HTML is in `prunegrid.table.render`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from prunegrid import results
from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell
from prunegrid.sections import Budget
from prunegrid.status import Failure

LABELS = {
    "random": "Random",
    "longest": "Longest",
    "infobatch": "InfoBatch",
    "infobatch-original": "InfoBatch (original)",
    "entropy": "Entropy",
    "ppl": "PPL",
    "fastv": "FastV",
    "sparsevlm": "SparseVLM",
    "loss": "Loss",
    "ifd": "IFD",
    "rho1": "Rho-1",
    "token-cleaning": "Token Cleaning",
    "qtuning": "Q-Tuning",
    "zero-shot": "Zero-Shot",
    "full": "Full Dataset",
    "shuffled-responses": "Full, Responses Shuffled",
    "alpagasus": "Alpagasus",
    "deita": "Deita",
    "ds2": "DS2",
    "less": "LESS",
}
TIMES = "\N{MULTIPLICATION SIGN}"
BUDGET = ["sample_ratio", "token_ratio"]
ROW = [*BUDGET, "variant"]
PLACE = [*ROW, "model", "benchmark"]
REALISED = ["realised_sample_ratio", "realised_token_ratio"]
Kind = Literal["pair", "joint", "reference"]
Failures = Mapping[Cell, Failure]
Marks = dict[tuple[Any, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Entry:
    """One place of the table: means over seeds, rounded to the two decimals that are shown.

    `score` (percent) is None where none of `seeds` is done; then `status` is the word to show. `delta`
    (points) is the mean of the `compared` seeds' own deltas. `marks` number the footnotes about it.
    """

    status: str = "missing"
    seeds: int = 1
    score: float | None = None
    done: int = 0
    delta: float | None = None
    compared: int = 0
    best: bool = False
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """One variant under one budget: labels, an entry per (model, benchmark), what was really kept per model.

    `realised` holds (samples, tokens of the kept samples) as fractions, for the models that have them.
    """

    kind: Kind
    sample: str
    token: str
    entries: dict[tuple[str, str], Entry]
    realised: dict[str, tuple[float, float]]


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
    """What a table says, in the order in which it says it. `seeds` is how many seeds its means are over."""

    title: str
    note: str
    models: list[str]
    benchmarks: list[str]
    groups: list[Group]
    seeds: int
    footnotes: list[str]

    @property
    def rows(self) -> list[Row]:
        return [row for group in self.groups for row in group.rows]

    @property
    def entries(self) -> list[Entry]:
        return [entry for row in self.rows for entry in row.entries.values()]

    @property
    def deltas(self) -> bool:
        return any(entry.delta is not None for entry in self.entries)

    @property
    def realised(self) -> bool:
        """Whether any pruned row knows what was really kept."""
        return any(row.realised for row in self.rows if row.kind != "reference")


def lay_out(frame: pd.DataFrame, *, title: str, note: str = "", failures: Failures | None = None) -> Table:
    """The table of a results frame. Models, budgets, variants and benchmarks keep its order; Avg is last.

    `failures` (from `status.failures`) name the step of a failed cell to look at: they become footnotes.
    Raises `PrunegridError` where there is nothing to show.
    """
    if frame.empty:
        raise PrunegridError(f"{title}: no results to show; collect an experiment that has cells first")
    failed = _failed(frame, failures or {})
    return Table(
        title=title,
        note=" ".join(filter(None, (note, _of_all(frame)))),
        models=list(frame["model"].unique()),
        benchmarks=sorted(frame["benchmark"].unique(), key=lambda name: name == results.AVERAGE),
        groups=_groups(_rows(frame, _marks(failed))),
        seeds=max(1, frame["seed"].nunique()),
        footnotes=[
            _footnote(failure, [cell for cell, its in failed if its == failure]) for failure in _distinct(failed)
        ],
    )


def _failed(frame: pd.DataFrame, failures: Failures) -> list[tuple[Cell, Failure]]:
    """The failures of cells that lack scores; one that failed after it was done has nothing to explain."""
    rows: Any = frame[frame["status"] == "failed"].itertuples()
    lacking = {(row.model, _budget(row), row.variant, None if pd.isna(row.seed) else row.seed) for row in rows}
    return [
        (cell, failed)
        for cell, failed in failures.items()
        if (cell.model, cell.budget, cell.variant, cell.seed) in lacking
    ]


def _groups(rows: list[tuple[Budget | None, str, Row]]) -> list[Group]:
    """Zero-Shot, then every budget's rows: pairs, joint methods, Full Dataset."""
    budgets = list(dict.fromkeys(budget for budget, _, _ in rows if budget))
    full = [row for _, variant, row in rows if variant == "full"]
    first = [row for budget, variant, row in rows if not budget and (variant != "full" or not budgets)]
    groups = [Group(None, first)] if first else []
    for budget in budgets:
        own = [row for at, _, row in rows if at == budget]
        groups.append(Group(budget, sorted(own, key=lambda row: row.kind == "joint") + full))
    return groups


def _rows(frame: pd.DataFrame, marks: Marks) -> list[tuple[Budget | None, str, Row]]:
    """(budget, variant, row) for every row of the table, in the frame's order."""
    places = _places(frame)
    models = frame["model"].unique()
    columns = [(model, benchmark) for model in models for benchmark in frame["benchmark"].unique()]
    rows = []
    for _, part in frame.groupby(ROW, sort=False, dropna=False):
        first: Any = next(part.itertuples())
        at = budget, variant = _budget(first), first.variant
        entries = {column: _entry(places.get((*at, *column)), marks.get((*at, column[0]), ())) for column in columns}
        kept = part.groupby("model", sort=False)[REALISED].mean().dropna()
        realised = {str(model): (float(s), float(t)) for model, s, t in kept.itertuples()}
        kind, sample, token = _labels(variant, first.sample_pruner, first.token_pruner)
        token = ", ".join(filter(None, (token, *(getattr(first, name) for name in _marked(frame, first)))))
        rows.append((budget, variant, Row(kind, sample, token, entries, realised)))
    return rows


USUAL = {"mode": "static", "removal": "mask"}
UNUSUAL = {"mode": "dynamic", "removal": "drop"}
SAID = {
    "mode": "Every mini-batch is pruned with the weights of the moment (mode: dynamic).",
    "removal": "Pruned tokens leave the input (removal: drop).",
}


def _kinds(frame: pd.DataFrame, name: str) -> set[str]:
    return set(frame.loc[frame["sample_ratio"].notna(), name].dropna())


def _marked(frame: pd.DataFrame, row: Any) -> list[str]:
    """Of mode and removal what a row has to say for itself: it is unusual, and not all pruned rows have it."""
    mixed = [name for name in USUAL if len(_kinds(frame, name)) > 1 and not pd.isna(row.sample_ratio)]
    return [name for name in mixed if getattr(row, name) != USUAL[name]]


def _of_all(frame: pd.DataFrame) -> str:
    """What is unusual of mode and removal and holds for all pruned rows."""
    return " ".join(SAID[name] for name in USUAL if _kinds(frame, name) == {UNUSUAL[name]})


def _places(frame: pd.DataFrame) -> dict[tuple[Any, ...], Any]:
    """Means over seeds by (budget, variant, model, benchmark), the best of each column and budget marked."""
    seeds = frame.groupby(PLACE, sort=False, dropna=False)
    places = seeds.agg(
        score=("score", "mean"),
        done=("score", "count"),
        delta=("delta", "mean"),
        compared=("delta", "count"),
        seeds=("status", "size"),
        status=("status", lambda column: max(column, key=results.SEVERITY.index)),
    ).reset_index()
    places[["score", "delta"]] = places[["score", "delta"]].map(lambda value: round(value, 2))
    whole = places["sample_ratio"].notna() & (places["done"] == places["seeds"])
    rivals = places["score"].where(whole)
    column = [places[name] for name in (*BUDGET, "model", "benchmark")]
    places["best"] = rivals == rivals.groupby(column, dropna=False).transform("max")
    lines: Any = places.itertuples()
    return {(_budget(line), line.variant, line.model, line.benchmark): line for line in lines}


def _budget(place: Any) -> Budget | None:
    if pd.isna(place.sample_ratio):
        return None
    return Budget(sample_ratio=place.sample_ratio, token_ratio=place.token_ratio)


def _entry(place: Any, marks: tuple[int, ...]) -> Entry:
    """The entry of a line of `_places`; where the frame has no such line, an entry that is missing."""
    if place is None:
        return Entry()
    return Entry(
        status=place.status,
        seeds=place.seeds,
        score=place.score if place.done else None,
        done=place.done,
        delta=place.delta if place.compared else None,
        compared=place.compared,
        best=place.best,
        marks=marks if place.status == "failed" else (),
    )


def _labels(variant: str, sample: str, token: Any) -> tuple[Kind, str, str]:
    """(kind, first column, second column); a variant that is not named after its method shows both."""
    parts = [sample] if pd.isna(token) else [sample, token]
    shown = [LABELS.get(part, part) for part in parts]
    kind: Kind = "reference" if variant in results.REFERENCES else "pair" if len(parts) == 2 else "joint"
    if variant != "+".join(parts):
        return kind, variant, " + ".join(shown)
    return kind, shown[0], shown[1] if kind == "pair" else ""


def _distinct(failed: list[tuple[Cell, Failure]]) -> list[Failure]:
    """One failed step can fail many cells: a footnote each step."""
    return list(dict.fromkeys(failure for _, failure in failed))


def _footnote(failure: Failure, cells: list[Cell]) -> str:
    where = f"{cells[0].model}, {cells[0].path}" if len(cells) == 1 else f"{len(cells)} cells"
    return f"{where}: {failure.rule} did not end well, see {failure.log}"


def _marks(failed: list[tuple[Cell, Failure]]) -> Marks:
    """The footnotes' numbers by (budget, variant, model)."""
    numbers = {failure: number for number, failure in enumerate(_distinct(failed), start=1)}
    marks: Marks = {}
    for cell, failure in failed:
        at = (cell.budget, cell.variant, cell.model)
        marks[at] = (*marks.get(at, ()), numbers[failure])
    return marks
