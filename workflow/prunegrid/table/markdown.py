"""A table as Markdown, for a terminal or a README: one pipe table per model and budget."""

import pandas as pd

from prunegrid.table import text
from prunegrid.table.contents import Entry, Group, Row, Table
from prunegrid.table.legend import legend


def render(table: Table) -> str:
    """Headings per model and budget, a table under each: some 150 characters wide with six columns and one seed."""
    parts = [f"# {table.title}", " ".join(legend(table)), *_quoted(table.note)]
    for model in table.models:
        parts.append(f"## {model}")
        for group in table.groups:
            parts += [f"### {group.title}"] if group.budget else []
            parts.append(_pipe_table(table, group, model))
    parts.append("\n".join(f"- [{number}] {note}" for number, note in enumerate(table.footnotes, start=1)))
    return "\n\n".join(filter(None, (*parts, *table.footer))) + "\n"


def _quoted(note: str) -> list[str]:
    return ["\n".join(f"> {line}" for line in note.splitlines())] if note else []


def _pipe_table(table: Table, group: Group, model: str) -> str:
    header = ["Sample pruner", "Token pruner", *table.benchmarks, *table.measures]
    lines = [_pipe_row(table, row, model) for row in group.rows]
    joint = next((number for number, row in enumerate(group.rows) if row.kind == "joint"), 0)
    if joint:
        lines.insert(joint, ["─" * max(map(len, column)) for column in zip(header, *lines, strict=True)])
    frame = pd.DataFrame(lines, columns=header)
    return str(frame.to_markdown(index=False, disable_numparse=True, preserve_whitespace=True))


def _pipe_row(table: Table, row: Row, model: str) -> list[str]:
    labels = [row.sample, row.token or ("joint" if row.kind == "joint" else text.NONE)]
    entries = [_plain(row.entries[model, benchmark], table) for benchmark in table.benchmarks]
    return [cell.replace("|", r"\|") for cell in (*labels, *entries, *text.measures(table, row, model))]


def _plain(entry: Entry, table: Table) -> str:
    """`**59.25** ± 1.10 ↑1.24*` or `failed [1]`; blanks stand in for stars, so that numbers line up in a terminal."""
    marks = [f"[{mark}]" for mark in entry.marks]
    if entry.score is None:
        return " ".join([f"  {text.status(entry)}", *marks])
    score = f"{entry.score:.2f}"
    score = f"{f'**{score}**':>9}" if entry.best else f"{score:>7}  "
    parts = [score, _spread(entry, table), text.partial(entry)]
    if entry.delta is not None:
        parts += [f"{text.arrow(entry.delta):>5}{text.star(entry)}", text.compared(entry)]
    return " ".join(filter(None, (*parts, *marks))).rstrip()


def _spread(entry: Entry, table: Table) -> str:
    """`± 1.10`, or as many blanks in a table whose other entries have that."""
    if entry.sd is None:
        return " " * 6 if table.seeds > 1 else ""
    return f"±{entry.sd:5.2f}"
