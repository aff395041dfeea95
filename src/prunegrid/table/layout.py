"""Lay a results frame out as the published table: groups of one budget, models side by side, deltas.

The contents are decided here (and in `footnotes`, `baselines`, `legend`); how they look in Markdown, CSV, LaTeX and
HTML is decided in one module each. `prunegrid table results/<experiment>` runs it.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.names import AVERAGE, FULL
from prunegrid.experiment.variant import Budget
from prunegrid.results import collect
from prunegrid.table import baselines, cost_columns, footnotes
from prunegrid.table.document import BUDGET, ROW, Answer, Entry, Group, Row, Table, budget_of
from prunegrid.table.footnotes import Failures, Marks
from prunegrid.table.labels import Labels, shared_settings, unusual_settings

__all__ = ["Failures", "Table", "lay_out"]

PLACE = [*ROW, "model", "benchmark"]
Lines = dict[tuple[Any, ...], Any]


def lay_out(
    frame: pd.DataFrame,
    *,
    title: str,
    note: str = "",
    failures: Failures | None = None,
    deltas: pd.DataFrame | None = None,
    footer: Sequence[str] = (),
    answers: Sequence[Answer] = (),
    labels: Labels | None = None,
) -> Table:
    """The table of a results frame. Models, budgets, variants and benchmarks keep its order; Avg is last.

    `failures` (from `status.failures`) name the step of a failed cell to look at: they become footnotes. `deltas`
    (from `statistics.deltas`) has the deltas with their intervals; without it they are taken from the frame. `footer`
    holds the sentences below the table, `answers` those to the contrasts of the config. `labels` are those of the
    frame's experiment; without them rows have the names of the published tables. Raises `PrunegridError` for an empty
    frame.
    """
    if frame.empty:
        raise PrunegridError(title, "no results to show", "collect an experiment that has cells first")
    names = labels or Labels()
    failed = footnotes.failures_to_explain(frame, failures or {})
    unit = cost_columns.cost_unit(frame)
    return Table(
        title=title,
        note=" ".join(filter(None, (note, shared_settings(frame)))),
        models=list(frame["model"].unique()),
        benchmarks=sorted(frame["benchmark"].unique(), key=lambda name: name == AVERAGE),
        groups=_groups(
            _rows(frame, deltas, footnotes.marks(failed), cost_columns.row_measurements(frame, unit), names)
        ),
        n_seeds=max(1, frame["seed"].nunique()),
        baseline=baselines.describe(frame, deltas, names),
        published=names.published,
        noise_estimated=deltas is not None,
        unit=unit,
        footnotes=footnotes.texts(failed),
        footer=tuple(footer),
        answers=tuple(answers),
    )


def _groups(rows: list[tuple[Budget | None, str, Row]]) -> list[Group]:
    """Zero-Shot, then every budget's rows: pairs, joint methods, Full Dataset."""
    budgets = list(dict.fromkeys(budget for budget, _, _ in rows if budget))
    full = [row for _, variant, row in rows if variant == FULL]
    first = [row for budget, variant, row in rows if not budget and (variant != FULL or not budgets)]
    groups = [Group(None, first)] if first else []
    for budget in budgets:
        members = [row for other, _, row in rows if other == budget]
        groups.append(Group(budget, sorted(members, key=lambda row: row.kind == "joint") + full))
    return groups


def _rows(
    frame: pd.DataFrame,
    deltas: pd.DataFrame | None,
    marks: Marks,
    measurements: cost_columns.RowMeasurements,
    names: Labels,
) -> list[tuple[Budget | None, str, Row]]:
    """(budget, variant, row) for every row of the table, in the frame's order."""
    places = _places(frame)
    delta_rows = _delta_rows(places, deltas)
    columns = [(model, benchmark) for model in frame["model"].unique() for benchmark in frame["benchmark"].unique()]
    labels = baselines.labels(frame, deltas, names)
    rows = []
    for _, part in frame.groupby(ROW, sort=False, dropna=False):
        first: Any = next(part.itertuples())
        row = budget, variant = budget_of(first), first.variant
        entries = {
            (model, name): _entry(
                places.get((*row, model, name)), delta_rows.get((*row, model, name)), marks.get((*row, model), ())
            )
            for model, name in columns
        }
        kind, sample, token = names.row(variant, first.sample_pruner, first.token_pruner)
        token = ", ".join(filter(None, (token, *unusual_settings(frame, first))))
        line = Row(variant, kind, sample, token, entries, measurements.get(row, {}), labels.get(row, ""))
        rows.append((budget, variant, line))
    return rows


def _places(frame: pd.DataFrame) -> Lines:
    """Means over seeds by (budget, variant, model, benchmark), and which are the best of their columns."""
    seeds = frame.groupby(PLACE, sort=False, dropna=False)
    places = seeds.agg(
        score=("score", "mean"),
        sd=("score", "std"),
        n_done=("score", "count"),
        delta=("delta", "mean"),
        n_compared=("delta", "count"),
        n_seeds=("status", "size"),
        status=("status", lambda column: max(column, key=collect.SEVERITY.index)),
    ).reset_index()
    places["score"] = places["score"].map(lambda value: round(value, 2))
    whole = places["sample_ratio"].notna() & (places["n_done"] == places["n_seeds"])
    rivals = places["score"].where(whole)
    column = [places[name] for name in (*BUDGET, "model", "benchmark")]
    groups = rivals.groupby(column, dropna=False)
    equal = (groups.transform("count") > 1) & (groups.transform("max") == groups.transform("min"))
    places["best"] = ~equal & (rivals == groups.transform("max"))
    return _index(places)


def _delta_rows(places: Lines, deltas: pd.DataFrame | None) -> Lines:
    """The row that has the delta of each place: in `deltas`, or without that frame the place's own."""
    return places if deltas is None else _index(deltas[deltas["delta"].notna()])


def _index(frame: pd.DataFrame) -> Lines:
    lines: Any = frame.itertuples()
    return {(budget_of(line), line.variant, line.model, line.benchmark): line for line in lines}


def _entry(place: Any, delta_row: Any, marks: tuple[int, ...]) -> Entry:
    """The table's entry for `place`, a row of `_places` (None: missing), whose delta is in a row of `_delta_rows`."""
    if place is None:
        return Entry()
    return Entry(
        status=place.status,
        n_seeds=place.n_seeds,
        score=place.score if place.n_done else None,
        sd=baselines.rounded(place.sd),
        n_done=place.n_done,
        best=place.best,
        marks=marks if place.status == "failed" else (),
        **baselines.delta_fields(delta_row),
    )
