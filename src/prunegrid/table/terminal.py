"""A table as plain text for a terminal: at most `WIDTH` columns wide, with what fits of the deltas and measures."""

from collections.abc import Iterator
from textwrap import fill
from typing import NamedTuple

from prunegrid.experiment.names import AVERAGE
from prunegrid.table import answers, text
from prunegrid.table.document import Entry, Group, Row, Table
from prunegrid.table.legend import short

WIDTH = 100
GAP = "  "


class Style(NamedTuple):
    """Which parts of a table are shown; `deltas` and `scores` are of every benchmark or of Avg alone."""

    decimals: int
    scores: bool
    deltas: bool
    measures: tuple[str, ...]


ALL = ("Kept", "Tokens", "Steps", "Passes", "Ends", "Cost", "Seeds")
STYLES = (
    Style(2, True, True, ALL),
    Style(2, True, True, ("Kept", "Seeds")),
    Style(2, True, True, ()),
    Style(1, True, True, ()),
    Style(1, True, False, ("Kept",)),
    Style(1, True, False, ()),
    Style(1, False, True, ("Kept", "Seeds")),
)
"""In order of preference; the last is taken if none fits."""


def render(table: Table) -> str:
    """Title, note, a block of rows per model and budget, footnotes; the table's files have everything else."""
    style = next((style for style in STYLES if _width(table, style) <= WIDTH), STYLES[-1])
    parts = [table.title, table.note, " ".join(short(table))]
    parts = [fill(part, WIDTH) for part in parts if part]
    parts += ["\n".join(_block(table, model, style)) for model in table.models]
    parts += [fill(sentence, WIDTH) for sentence in answers.sentences(table)]
    notes = [fill(f"[{number}] {note}", WIDTH) for number, note in enumerate(table.footnotes, start=1)]
    return "\n\n".join(filter(None, [*parts, "\n".join(notes)])) + "\n"


def _width(table: Table, style: Style) -> int:
    return max(len(line) for model in table.models for line in _block(table, model, style))


def _block(table: Table, model: str, style: Style) -> list[str]:
    """The lines of one model: columns are aligned over all budgets, a budget's name stands above its rows."""
    header = [model, *_benchmarks(table, style), *_measures(table, style)]
    rows = [(group, _cells(table, row, model, style)) for group in table.groups for row in group.rows]
    widths = [max(map(len, column)) for column in zip(header, *(cells for _, cells in rows), strict=True)]
    lines = [_line(header, widths)]
    shown: Group | None = None
    for group, cells in rows:
        if group is not shown and group.title:
            lines += ["", group.title]
        lines.append(_line(cells, widths))
        shown = group
    return lines


def _line(cells: list[str], widths: list[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _benchmarks(table: Table, style: Style) -> list[str]:
    return [name for name in table.benchmarks if style.scores or name == AVERAGE]


def _measures(table: Table, style: Style) -> list[str]:
    return [name for name in table.measures if name in style.measures]


def _cells(table: Table, row: Row, model: str, style: Style) -> list[str]:
    entries = [_entry(row.entries[model, name], name, style) for name in _benchmarks(table, style)]
    values = dict(zip(table.measures, text.measures(table, row, model), strict=True))
    return [row.variant, *entries, *(values[name] for name in _measures(table, style))]


def _entry(entry: Entry, benchmark: str, style: Style) -> str:
    """`59.2 ↑1.2*`, with the signs of a table in Markdown."""
    return " ".join(_parts(entry, style, style.deltas or benchmark == AVERAGE))


def _parts(entry: Entry, style: Style, delta: bool) -> Iterator[str]:
    if entry.score is None:
        yield text.status(entry)
    else:
        yield f"{entry.score:{4 + style.decimals - 1}.{style.decimals}f}"
        yield from filter(None, [text.seeds_note(entry)])
        if delta and entry.delta is not None:
            yield f"{text.arrow(entry.delta, style.decimals)}{text.star(entry)}"
    yield from (f"[{mark}]" for mark in entry.marks)
