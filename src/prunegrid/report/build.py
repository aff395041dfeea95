"""Write the page of a results folder: `prunegrid report results/<experiment>`. The rule `report` runs this, too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from prunegrid import status
from prunegrid.experiment import layout
from prunegrid.report import (
    budgets_view,
    compare_view,
    costs_view,
    items_view,
    origin_view,
    overlap_view,
    page,
    plane_view,
    sample_view,
    table_view,
)
from prunegrid.report.page import View
from prunegrid.table import html
from prunegrid.table.build import TableData, collect, make_table
from prunegrid.table.document import Table


@dataclass(frozen=True)
class Source:
    """What the views are made of: a results folder's rows and deltas, and its table; `path` is the page's own."""

    data: TableData
    table: Table
    path: Path
    other: Path | None = None
    """The results folder of a second experiment to show beside this."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Our models' names that the other side has another name for, with that name."""
    texts: bool = True
    """Whether the page holds prompts, answers and samples, or digests and numbers only."""


Make = Callable[[Source], View | None]
VIEWS: tuple[Make, ...] = (
    table_view.view,
    items_view.view,
    costs_view.view,
    budgets_view.view,
    compare_view.view,
    plane_view.view,
    sample_view.view,
    overlap_view.view,
    origin_view.view,
)
"""The views in the order of their tabs; None: the folder has nothing to show there."""


def build(
    directory: Path,
    out: Path | None = None,
    data: TableData | None = None,
    other: Path | None = None,
    models: Mapping[str, str] = MappingProxyType({}),
    texts: bool = True,
) -> Path:
    """Write the page of a results folder (to `report.html` in it, if `out` does not say otherwise); return its path.

    `data`: the folder's, if they are known to be current; they are collected otherwise. `other`: a second folder, which
    stands beside it; `models` has the names of our models there, or in the published tables, where they differ. Without
    `texts` the page has none of the data sets' or models' texts.

    Raises `PrunegridError` for a folder without `experiment.json`, and for a damaged file.
    """
    data, path = data or collect(directory), out or directory / layout.REPORT
    source = Source(data, make_table(data, status.failures(data.experiment, directory)), path, other, models, texts)
    views = [view for make in VIEWS if (view := make(source)) is not None]
    page.write(path, source.table.title, views, html.body(source.table))
    return path
