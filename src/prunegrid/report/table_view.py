"""The table of the page: a line for each row and model, with a score for each benchmark."""

from typing import TYPE_CHECKING, Any

from prunegrid.report.page import View

if TYPE_CHECKING:
    from prunegrid.report.build import Source


def view(source: "Source") -> View:
    """The view `table`."""
    table = source.table
    rows: list[dict[str, Any]] = [
        {"model": model, "budget": group.title, "sample": row.sample, "token": row.token, "variant": row.variant}
        | {name: row.entries[model, name].score for name in table.benchmarks}
        for group in table.groups
        for row in group.rows
        for model in table.models
    ]
    return View("table", "Table", {"benchmarks": table.benchmarks, "rows": rows})
