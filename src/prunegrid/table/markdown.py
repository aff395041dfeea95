"""A table as Markdown, for a terminal or a README: one pipe table per model and budget."""

import re

import pandas as pd

from prunegrid.table import answers, text
from prunegrid.table.document import Entry, Group, Row, Table
from prunegrid.table.legend import legend

SPECIAL = re.compile(
    r"[*`~$|]"  # emphasis, code, strikethrough, mathematics on GitHub, columns
    r"|(?<!\w)_+|_+(?!\w)"  # emphasis; not inside a word
    r"|<(?=[a-zA-Z/!?])|&(?=#?\w+;)"  # tags and entities
    r"|](?=[(\[:])"  # links and their definitions
    r"|\\(?=[!-/:-@\[-`{-~]|$)"  # escapes and forced line breaks
    r"|^(?:>|[-+=#](?=[-+=#:\s]|$)|:(?=-)|\d+[.)](?=\s|$))"  # quotes, lists, headings, rules
    r"|(?<=\s)#+$"  # a heading's end
)


def render(table: Table) -> str:
    """Headings per model and budget, a table under each: some 150 characters wide with six columns and one seed."""
    parts = [f"# {_single_line(table.title)}", escape(" ".join(legend(table)))]
    if table.note:
        parts.append("\n".join(f"> {line}" for line in escape(table.note).splitlines()))
    for model in table.models:
        parts.append(f"## {_single_line(model)}")
        for group in table.groups:
            parts += [f"### {group.title}"] if group.budget else []
            parts.append(_pipe_table(table, group, model))
    if table.answers:
        parts += [f"## {answers.TITLE}", answers.NOTE, _answers_table(table)]
    notes = enumerate(map(_single_line, table.footnotes), start=1)
    parts.append("\n".join(f"- [{number}] {note}" for number, note in notes))
    return "\n\n".join(filter(None, (*parts, *map(escape, table.footer)))) + "\n"


def escape(plain: str) -> str:
    """Text as Markdown that shows it, line by line; names such as `lm_eval`, `a-b` or `p < 0.05` stay as they are."""
    return "\n".join(SPECIAL.sub(_backslashed, line.strip()) for line in plain.splitlines())


def _backslashed(match: re.Match[str]) -> str:
    """A backslash before each sign; of `1.` only before the point, since a digit cannot be escaped."""
    return re.sub(r"([^\w]|_)", r"\\\1", match[0])


def _single_line(plain: str) -> str:
    return escape(" ".join(plain.split()))


def _pipe_table(table: Table, group: Group, model: str) -> str:
    header = ["Sample pruner", "Token pruner", *map(_single_line, table.benchmarks), *table.measures]
    lines = [_pipe_row(table, row, model) for row in group.rows]
    frame = pd.DataFrame(lines, columns=header)
    return str(frame.to_markdown(index=False, disable_numparse=True, preserve_whitespace=True))


def _answers_table(table: Table) -> str:
    lines = [[*map(_single_line, answers.line(answer))] for answer in table.answers]
    frame = pd.DataFrame(lines, columns=list(answers.HEADER))
    return str(frame.to_markdown(index=False, disable_numparse=True))


def _pipe_row(table: Table, row: Row, model: str) -> list[str]:
    labels = [row.sample, row.token or ("joint" if row.kind == "joint" else text.NONE)]
    entries = [_plain(row.entries[model, benchmark], table) for benchmark in table.benchmarks]
    return [*map(_single_line, labels), *entries, *text.measures(table, row, model)]


def _plain(entry: Entry, table: Table) -> str:
    """`**59.25** ± 1.10 ↑1.24*` or `failed [1]`; blanks replace missing stars, so numbers line up in a terminal."""
    marks = [f"[{mark}]" for mark in entry.marks]
    if entry.score is None:
        return " ".join([f"  {text.status(entry)}", *marks])
    score = f"{entry.score:.2f}"
    score = f"{f'**{score}**':>9}" if entry.best else f"{score:>7}  "
    parts = [score, _spread(entry, table), text.seeds_note(entry)]
    if entry.delta is not None:
        parts += [f"{text.arrow(entry.delta):>5}{text.star(entry)}", text.delta_seeds_note(entry)]
    return " ".join(filter(None, (*parts, *marks))).rstrip()


def _spread(entry: Entry, table: Table) -> str:
    """`± 1.10`, or as many blanks in a table whose other entries have that."""
    if entry.sd is None:
        return " " * 6 if table.n_seeds > 1 else ""
    return f"±{entry.sd:5.2f}"
