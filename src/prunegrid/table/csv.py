"""A table as CSV, for a spreadsheet: its rows and columns, with every delta's interval."""

import pandas as pd

from prunegrid.table import answers, legend
from prunegrid.table.document import Entry, Group, Measurements, Row, Table


def render(table: Table) -> str:
    """Title, legend, footnotes, note and footer as `# ` lines (`pandas.read_csv(..., comment="#")`), then the rows."""
    parts = (table.title, *legend.plain(table), *table.footnotes, table.note, *answers.sentences(table), *table.footer)
    comments = [line for part in parts for line in part.splitlines()]
    lines = [_row(table, group, row) for group in table.groups for row in group.rows]
    return "".join(f"# {line}\n" for line in comments) + pd.DataFrame(lines).to_csv(index=False)


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
    seeds = f"{entry.n_compared}/{entry.n_seeds}" if entry.delta is not None else None
    over_seeds = {"sd": _points(entry.sd), "seeds": f"{entry.n_done}/{entry.n_seeds}", "status": entry.status}
    return (
        {"": entry.status if entry.score is None else _points(entry.score)}
        | (over_seeds if averaged else {})
        | {"delta": _points(entry.delta)}
        | ({"delta seeds": seeds} if averaged else {})
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
