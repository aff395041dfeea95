"""The table of the page: a line for each row and model, whose deltas the reader takes against any other row.

A score's own seeds are in it, so that the browser computes these deltas. Intervals and tests are Python's: those of the
experiment's own baseline, and of each row that `prunegrid table --against ROW` has been run for.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from prunegrid.experiment import layout
from prunegrid.report.page import View
from prunegrid.results import collect
from prunegrid.statistics import deltas
from prunegrid.table import baselines, text
from prunegrid.table.document import Group, Row, Table, budget_of
from prunegrid.table.legend import BASELINE_WORD, STATUSES, legend

if TYPE_CHECKING:
    from prunegrid.report.build import Source

QTUNING = "qtuning"
Comparison = dict[tuple[Any, ...], dict[str, Any]]
"""The fields of deltas by (budget, variant, model, benchmark)."""


def view(source: "Source") -> View:
    """The view `table`."""
    table, data = source.table, source.data
    data_of_view = {
        "benchmarks": table.benchmarks,
        "measures": table.measures,
        "models": table.models,
        "rows": lines(source),
        "legend": [sentence for sentence in legend(table) if not sentence.startswith(BASELINE_WORD)],
        "own": _baseline(table),
        "statuses": STATUSES,
        "compared": list(comparisons(data.directory)),
        "folder": data.experiment.results,
    }
    return View("table", "Table", data_of_view)


def _baseline(table: Table) -> str:
    """What the table's own deltas are against, in words; empty if it has none."""
    return table.baseline if table.deltas else ""


def lines(source: "Source") -> list[dict[str, Any]]:
    """A line for each group's row and model, in the table's order."""
    table, frame = source.table, source.data.frame
    scores, compared = _scores(frame), comparisons(source.data.directory)
    baseline_of = collect.baselines(source.data.experiment)
    marked = {variant.name for variant in source.data.experiment.variants if variant.method == QTUNING}
    return [
        _labels(group, row, model)
        | {
            "baseline": baseline_of.get(row.variant, ""),
            "ratios": _ratios(group, row),
            "qtuning": row.variant in marked,
        }
        | {"entries": [_entry(row, model, name, group, scores, compared) for name in table.benchmarks]}
        | {"measures": _measures(table, row, model)}
        for group in table.groups
        for row in group.rows
        for model in table.models
    ]


def row_label(row: Row) -> str:
    """A row's name in one line: its labels, or a name of its own with its method."""
    if row.sample == row.variant and row.token:
        return f"{row.variant} ({row.token})"
    return " + ".join(filter(None, (row.sample, row.token)))


def row_budget(group: Group, row: Row) -> str:
    """The budget's name in paths and addresses; reference rows have none."""
    return group.budget.name if group.budget and row.kind != "reference" else ""


def _ratios(group: Group, row: Row) -> list[float]:
    """Of samples and of tokens; reference rows keep all."""
    return [group.budget.sample_ratio, group.budget.token_ratio] if group.budget and row.kind != "reference" else [1, 1]


def comparisons(directory: Path) -> dict[str, Comparison]:
    """The deltas against other rows that `prunegrid table --against` has left, by the row's name."""
    frames = {}
    for folder in sorted(directory.glob(layout.comparison("*"))):
        if (file := folder / layout.DELTAS).exists():
            rows: Any = deltas.read(file).itertuples()
            frames[folder.name.removeprefix("against-")] = {
                (budget_of(row), row.variant, row.model, row.benchmark): baselines.delta_fields(row) for row in rows
            }
    return frames


def _labels(group: Group, row: Row, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "group": group.title,
        "budget": row_budget(group, row),
        "variant": row.variant,
        "label": row_label(row),
        "kind": row.kind,
        "sample": row.sample,
        "token": row.token,
    }


def _entry(
    row: Row, model: str, benchmark: str, group: Group, scores: dict[tuple[Any, ...], Any], compared: dict[str, Any]
) -> dict[str, Any]:
    """A score with its deltas: `table`'s own under the empty name."""
    entry, budget = row.entries[model, benchmark], None if row.kind == "reference" else group.budget
    place = (budget, row.variant, model, benchmark)
    others = {name: _delta(fields[place]) for name, fields in compared.items() if place in fields}
    default = {"": _delta(asdict(entry))} if entry.delta is not None else {}
    values = {"score": entry.score, "sd": entry.sd, "best": entry.best, "marks": entry.marks}
    words = {"note": text.seeds_note(entry), "status": text.status(entry) if entry.score is None else ""}
    kept = {key: value for key, value in (values | words).items() if value not in (None, "", ()) and value is not False}
    return kept | {"seeds": scores.get(place, {}), "state": entry.status, "deltas": default | others}


DELTA = ("delta", "low", "high", "p_adjusted", "significant", "n_compared")


def _delta(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name in DELTA if (value := fields.get(name)) is not None}


def _measures(table: Table, row: Row, model: str) -> list[list[Any]]:
    """Each measure as a number to sort by, and as the table shows it."""
    values = row.measurements.get(model)
    kept = values.realised if values else None
    names = {
        "Tokens": "tokens",
        "Steps": "steps",
        "Passes": "passes",
        "Ends": "ends",
        "Cost": "cost",
        "Seeds": "n_seeds",
    }
    numbers = {name: getattr(values, field, None) for name, field in names.items()}
    numbers["Kept"] = kept[0] * kept[1] if kept else None
    shown = text.measures(table, row, model)
    return [[numbers[name], word] for name, word in zip(table.measures, shown, strict=True)]


def _scores(frame: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, float]]:
    """Scores in percent by (budget, variant, model, benchmark) and seed; a cell without one has the empty name."""
    scores: dict[tuple[Any, ...], dict[str, float]] = {}
    done: Any = frame[frame["score"].notna()].itertuples()
    for row in done:
        place = (budget_of(row), row.variant, row.model, row.benchmark)
        scores.setdefault(place, {})["" if pd.isna(row.seed) else str(int(row.seed))] = float(row.score)
    return scores
