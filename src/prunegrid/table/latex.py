r"""A table as LaTeX, for `\input` into a paper: a float per model, with booktabs, graphicx, siunitx and xcolor.

A score stands in an S column, so that points line up; what belongs to it (deviation, delta, seeds, footnotes) in a
small column of its own, to its right. A word in place of a score spans both. A table that is too wide is scaled down.
"""

import re

from prunegrid.table import text
from prunegrid.table.document import TIMES, Entry, Group, Row, Table
from prunegrid.table.legend import legend

PREAMBLE = r"""% Made by prunegrid. \input it where floats may stand, after
% \usepackage{booktabs,graphicx,siunitx,xcolor}
\definecolor{prunegridup}{HTML}{14803C}
\definecolor{prunegriddown}{HTML}{C0271B}
\definecolor{prunegridgrey}{HTML}{777777}
\ifdefined\prunegridbox\else\newsavebox{\prunegridbox}\fi
"""
SPECIAL = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "[": "{[}",  # after a row's end, `[` would be its height and `*` a variant of it
    "]": "{]}",
    "*": "{*}",
    TIMES: r"$\times$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "…": r"\ldots{}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "\N{EN DASH}": r"\textendash{}",
    "\N{EM DASH}": r"\textemdash{}",
}
STATUS = {
    "missing": r"\textcolor{prunegridgrey}{missing}",
    "running": r"\textcolor{prunegridgrey}{\textit{running}\,\ldots}",
    "stale": r"\textit{stale}\textsuperscript{$\dagger$}",
    "failed": r"\textcolor{prunegriddown}{\textit{failed}}",
}
CROWDED = 40
FITTED = (
    r"\ifdim\wd\prunegridbox>\linewidth\resizebox{\linewidth}{!}{\usebox{\prunegridbox}}"
    r"\else\usebox{\prunegridbox}\fi"
)


def render(table: Table) -> str:
    """A `table` for each model: its caption, the groups of all budgets, the notes below."""
    return PREAMBLE + "".join(_float(table, model) for model in table.models)


def escape(said: str) -> str:
    """Text as LaTeX that prints it, on one line."""
    return "".join(SPECIAL.get(sign, sign) for sign in re.sub("-(?=-)", "-\0", " ".join(said.split()))).replace(
        "\0", "{}"
    )


def _float(table: Table, model: str) -> str:
    label = re.sub(r"[^a-z0-9]+", "-", model.lower())
    size = r"\scriptsize" if len(table.rows) > CROWDED else r"\footnotesize"
    stretch = 1.3 if any(entry.sd is not None for entry in table.entries) else 1
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}: {escape(model)}}}",
        rf"\label{{tab:prunegrid-{label}}}",
        rf"\setlength{{\tabcolsep}}{{2.5pt}}\renewcommand{{\arraystretch}}{{{stretch}}}{size}",
        r"\begin{lrbox}{\prunegridbox}",
        rf"\begin{{tabular}}{{{_columns(table)}}}",
        r"\toprule",
        _header(table),
        *(line for group in table.groups for line in _group(table, group, model)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{lrbox}",
        FITTED,
        *_notes(table, model),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _columns(table: Table) -> str:
    scores = [entry.score for entry in table.entries if entry.score is not None]
    digits = len(f"{max(scores, default=0):.0f}") if max(scores, default=0) >= 100 else 2
    entry = rf"S[table-format={digits}.2,detect-weight,mode=text]@{{\,}}l"
    return "ll" + entry * len(table.benchmarks) + "r" * len(table.measures)


def _width(table: Table) -> int:
    return 2 + 2 * len(table.benchmarks) + len(table.measures)


def _header(table: Table) -> str:
    benchmarks = [rf"\multicolumn{{2}}{{c}}{{{escape(name)}}}" for name in table.benchmarks]
    return _line(["Sample pruner", "Token pruner", *benchmarks, *table.measures])


def _group(table: Table, group: Group, model: str) -> list[str]:
    """A group's rows below its budget; a pair's sample pruner stands in its first row only."""
    lines = [r"\midrule"]
    if group.budget:
        lines += [_line([rf"\multicolumn{{{_width(table)}}}{{c}}{{\textit{{{escape(group.title)}}}}}"]), r"\midrule"]
    above = None
    for row in group.rows:
        if row.kind == "joint" and above and above.kind != "joint":
            lines.append(r"\midrule")
        again = above is not None and row.kind == "pair" and (above.kind, above.sample) == (row.kind, row.sample)
        lines.append(_row(table, row, model, first="" if again else escape(row.sample)))
        above = row
    return lines


def _row(table: Table, row: Row, model: str, first: str) -> str:
    entries = [_entry(row.entries[model, benchmark]) for benchmark in table.benchmarks]
    return _line([first, escape(row.token), *entries, *map(escape, text.measures(table, row, model))])


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _entry(entry: Entry) -> str:
    """Two cells, `\\bfseries 59.25 & {...}`, or a word across both."""
    marks = rf"\textsuperscript{{{','.join(map(str, entry.marks))}}}" if entry.marks else ""
    if entry.score is None:
        return rf"\multicolumn{{2}}{{c}}{{{STATUS[entry.status]}{marks}}}"
    partial = text.partial(entry)
    small = rf"{{\tiny {escape(partial)}}}" if partial else ""
    bold = r"\bfseries " if entry.best else ""
    return f"{bold}{entry.score:.2f} & {_beside(entry)}{small}{marks}".rstrip()


def _beside(entry: Entry) -> str:
    """Deviation over delta, as super- and subscript."""
    above = rf"^{{\pm{entry.sd:.2f}}}" if entry.sd is not None else ""
    below = rf"_{{{_delta(entry, entry.delta)}}}" if entry.delta is not None else ""
    return f"${above}{below}$" if above or below else ""


def _delta(entry: Entry, delta: float) -> str:
    colour, sign = ("up", r"\uparrow ") if delta > 0 else ("down", r"\downarrow ") if delta < 0 else ("grey", "")
    star = "{*}" if entry.significant else ""
    compared = text.compared(entry)
    return rf"\color{{prunegrid{colour}}}{sign}{abs(delta):.2f}{star}" + (rf"\,{compared}" if compared else "")


def _notes(table: Table, model: str) -> list[str]:
    """Legend, note, the footnotes that this model's entries refer to, and the footer: a paragraph each."""
    own = {mark for row in table.rows for (of, _), entry in row.entries.items() if of == model for mark in entry.marks}
    footnotes = [
        rf"\textsuperscript{{{number}}}~{_breakable(note)}"
        for number, note in enumerate(table.footnotes, start=1)
        if number in own
    ]
    said = [escape(" ".join(legend(table))), escape(table.note), *footnotes, *map(_breakable, table.footer)]
    return [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
        *(rf"{sentence}\par" for sentence in said if sentence),
        r"\end{minipage}",
    ]


def _breakable(said: str) -> str:
    """Escaped text whose paths may be broken after a slash."""
    return escape(said).replace("/", r"/\allowbreak{}")
