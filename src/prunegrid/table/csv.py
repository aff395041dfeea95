"""A table as CSV, for pandas or a spreadsheet: its rows and columns, with every delta's interval."""

import pandas as pd

from prunegrid.table.document import Entry, Group, Measurements, Row, Table


def render(table: Table) -> str:
    """A header and the rows, nothing else: `pandas.read_csv(path)`. How to read them stands in `table.md`."""
    lines = [_row(table, group, row) for group in table.groups for row in group.rows]
    return str(pd.DataFrame(lines).to_csv(index=False))


def _row(table: Table, group: Group, row: Row) -> dict[str, object]:
    """The values of a row by column. Full Dataset, repeated in every group, gets the budget of its group."""
    line: dict[str, object] = {
        "sample_ratio": group.budget and group.budget.sample_ratio,
        "token_ratio": group.budget and group.budget.token_ratio,
        "variant": row.variant,
        "sample_pruner": row.sample,
        "token_pruner": row.token,
    }
    if table.intervals:
        line["against"] = row.baseline or None
    for model in table.models:
        for benchmark in table.benchmarks:
            columns = _entry(table, row.entries[model, benchmark])
            line |= {f"{model} {benchmark} {name}".rstrip(): value for name, value in columns.items()}
    for model in table.models:
        columns = _measured(table, row.measurements.get(model, Measurements()))
        line |= {f"{model} {name}": value for name, value in columns.items()}
    return line


def _entry(table: Table, entry: Entry) -> dict[str, object]:
    averaged, intervals = table.n_seeds > 1, table.intervals
    compared = entry.n_compared if entry.delta is not None else None
    over_seeds = {"sd": _points(entry.sd), "seeds": entry.n_done, "planned seeds": entry.n_seeds}
    return (
        {"": _points(entry.score), "status": entry.status}
        | (over_seeds if averaged else {})
        | {"delta": _points(entry.delta)}
        | ({"delta seeds": _whole(compared)} if averaged else {})
        | ({"low": _points(entry.low), "high": _points(entry.high)} if intervals else {})
        | ({"p_adjusted": entry.p_adjusted, "significant": entry.significant} if intervals else {})
    )


def _points(value: float | None) -> str | None:
    return None if value is None else f"{value + 0:.2f}"


def _measured(table: Table, measured: Measurements) -> dict[str, object]:
    samples, tokens = measured.realised or (None, None)
    columns: dict[str, dict[str, object]] = {
        "Kept": {"realised samples": samples, "realised tokens": tokens},
        "Tokens": {"trained tokens": _whole(measured.tokens)},
        "Steps": {"steps": _whole(measured.steps)},
        "Passes": {"sample passes": _whole(measured.passes)},
        "Ends": {"end tokens": _whole(measured.ends)},
        "Cost": {f"cost {table.unit}": measured.cost},
        "Seeds": {"seeds": None if measured.n_seeds is None else str(measured.n_seeds)},
    }
    return {name: value for measure in table.measures for name, value in columns[measure].items()}


def _whole(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}"
