r"""A table as LaTeX (`table.tex.j2`), for `\input` into a paper: a float per model, with booktabs, graphicx, siunitx
and xcolor.

A score is in an S column, so that points line up; what belongs to it (deviation, delta, seeds, footnotes) is in
a small column of its own, to its right. A word in place of a score spans both. A table that is too wide is scaled down.
"""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prunegrid.table import answers, text
from prunegrid.table.document import TIMES, Table
from prunegrid.table.legend import legend

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


def render(table: Table) -> str:
    """A `table` for each model: its caption, the groups of all budgets, the notes below."""
    return ENVIRONMENT.get_template("table.tex.j2").render(
        table=table,
        legend=legend(table),
        text=text,
        answers=answers.sentences(table),
        statuses=STATUS,
        hundred=any(entry.score is not None and entry.score >= 100 for entry in table.entries),
        deviations=any(entry.sd is not None for entry in table.entries),
    )


def escape(plain: str) -> str:
    """Text as LaTeX that prints it, on one line."""
    # LaTeX joins neighbouring hyphens to a dash: an empty group parts them. "\0" is in no text and not escaped.
    parted = re.sub("-(?=-)", "-\0", " ".join(plain.split()))
    return "".join(SPECIAL.get(sign, sign) for sign in parted).replace("\0", "{}")


ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    # Jinja's own braces mean something to LaTeX.
    block_start_string="<%",
    block_end_string="%>",
    variable_start_string="<<",
    variable_end_string=">>",
    comment_start_string="<#",
    comment_end_string="#>",
)
ENVIRONMENT.filters |= {
    "tex": escape,
    "slug": lambda name: re.sub(r"[^a-z0-9]+", "-", name.lower()),
    # Escaped text whose paths may be broken after a slash.
    "breakable": lambda escaped: escaped.replace("/", r"/\allowbreak{}"),
}
