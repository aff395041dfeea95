"""The table as LaTeX, read back by pylatexenc: it parses, its rows are full, nothing is lost or left unescaped."""

# ruff: noqa: RUF001

import re
import string
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexMacroNode, LatexSpecialsNode, LatexWalker

from prunegrid.published import frame as published
from prunegrid.table import latex
from prunegrid.table.layout import lay_out
from support.table_frames import SEEDED, SEEDED_FAILED, SMALL, cell, laid_out, seeded

MIXED = r"50% of a_b & c#1 {x} $5 ~ ^ \cmd <i> | [0] *"
RULES = ("toprule", "midrule", "bottomrule")


class TeXCell(NamedTuple):
    """One cell of a row: how many columns it spans, and its source."""

    span: int
    source: str


def environments(text: str) -> list[tuple[str, LatexEnvironmentNode]]:
    """(path, node) of every environment; the walker refuses one that is not closed."""

    def environments_below(nodes: list[Any], path: str) -> list[tuple[str, LatexEnvironmentNode]]:
        inner = [node for node in nodes if isinstance(node, LatexEnvironmentNode)]
        named = [(f"{path}/{node.environmentname}", node) for node in inner]
        return [inner for name, node in named for inner in [(name, node), *environments_below(node.nodelist, name)]]

    nodes, _, length = LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    assert length == len(text)
    return environments_below(nodes, "")


def tabulars(text: str) -> list[LatexEnvironmentNode]:
    return [node for path, node in environments(text) if path.endswith("/tabular")]


def rows(tabular: LatexEnvironmentNode) -> list[list[TeXCell]]:
    """The cells of each row: between `&`, up to `\\\\`; rules belong to no row."""
    lines: list[list[list[Any]]] = [[[]]]
    for node in tabular.nodelist:
        if isinstance(node, LatexMacroNode) and node.macroname == "\\":
            lines.append([[]])
        elif isinstance(node, LatexSpecialsNode) and node.specials_chars == "&":
            lines[-1].append([])
        elif not (isinstance(node, LatexMacroNode) and node.macroname in RULES):
            lines[-1][-1].append(node)
    assert "".join(node.latex_verbatim() for node in lines[-1][0]).strip() == ""
    return [[_cell(nodes) for nodes in row] for row in lines[:-1]]


def _cell(nodes: list[Any]) -> TeXCell:
    spans = [
        int(argument.latex_verbatim().strip("{}"))
        for node, argument in pairwise(nodes)
        if isinstance(node, LatexMacroNode) and node.macroname == "multicolumn"
    ]
    return TeXCell(sum(spans) or 1, "".join(node.latex_verbatim() for node in nodes).strip())


def columns(tabular: LatexEnvironmentNode) -> int:
    """How many columns the preamble declares: its letters, less the options of S and what @ puts between."""
    (specification,) = tabular.nodeargd.argnlist
    return len(re.sub(r"\[.*?\]|@\{.*?\}|[{}]", "", specification.latex_verbatim()))


def printed(source: str) -> str:
    return str(LatexNodes2Text().latex_to_text(source)).replace("ˆ", "^")


@pytest.mark.parametrize(
    ("table", "models", "wide"),
    [
        (laid_out(*SMALL), 1, 2 + 2 * 3),
        (seeded(), 1, 2 + 2 * 3 + 4),
        (laid_out(cell("a|b", 1, 100), [row | {"model": "n_2"} for row in cell("a|b", 3, 4)]), 2, 2 + 2 * 3),
        (lay_out(published.frame(), title=published.TITLE, note=published.NOTE), 2, 2 + 2 * 6),
    ],
    ids=["small", "seeded", "two models", "published"],
)
def test_every_row_has_as_many_cells_as_the_tabular_has_columns(table: Any, models: int, wide: int) -> None:
    tables = tabulars(latex.render(table))
    assert [columns(tabular) for tabular in tables] == [wide] * models
    for tabular in tables:
        lines = rows(tabular)
        assert len(lines) == 1 + len(table.rows) + sum(group.budget is not None for group in table.groups)
        assert {sum(cell.span for cell in line) for line in lines} == {wide}


def test_one_float_per_model_each_with_its_notes() -> None:
    table = laid_out(cell("random+ppl", 1), [row | {"model": "n_2"} for row in cell("random+ppl", 3)], footer=("F.",))
    text = latex.render(table)
    assert [path for path, _ in environments(text)] == [
        *("/table", "/table/lrbox", "/table/lrbox/tabular", "/table/minipage") * 2
    ]
    assert [line for line in text.splitlines() if "caption" in line] == [r"\caption{T: m}", r"\caption{T: n\_2}"]
    assert text.count("F.\\par\n") == 2


def test_the_file_names_its_packages_and_colours() -> None:
    text = latex.render(seeded())
    assert r"% \usepackage{booktabs,graphicx,siunitx,xcolor}" in text
    for name in ("up", "down", "grey"):
        assert rf"\definecolor{{prunegrid{name}}}" in text


def test_entries() -> None:
    (tabular,) = tabulars(latex.render(seeded()))
    assert rows(tabular)[4] == [
        *(TeXCell(1, ""), TeXCell(1, "PPL")),
        *(TeXCell(1, r"\bfseries 35.00"), TeXCell(1, r"$^{\pm4.00}_{\color{prunegridup}\uparrow 3.00{*}}$")),
        *(TeXCell(1, r"\bfseries 9.00"), TeXCell(1, r"$^{\pm0.00}_{\color{prunegridup}\uparrow 1.00}$")),
        *(TeXCell(1, r"\bfseries 22.00"), TeXCell(1, r"$^{\pm2.00}_{\color{prunegridup}\uparrow 2.00}$")),
        *(TeXCell(1, r"12.5 $\times$ 51.3"), TeXCell(1, "12.3k"), TeXCell(1, "120"), TeXCell(1, "3")),
    ]
    delta = r"$_{\color{prunegriddown}\downarrow 10.00}$"
    assert rows(tabular)[5][2:4] == [TeXCell(1, "20.00"), TeXCell(1, delta + r"{\tiny (1/3)}\textsuperscript{1}")]
    stale_and_running = [r"{\tiny (1/3 $\dagger$)}", r"{\tiny (1/3 \ldots{})}"]
    assert [rows(tabular)[6][column].source for column in (3, 5)] == stale_and_running


def test_a_delta_of_fewer_seeds_and_one_of_zero() -> None:
    cells = [cell("random+random", 10, seed=0), cell("random+random", "failed", seed=1)]
    cells += [cell("random+ppl", 10, seed=0), cell("random+ppl", 12, seed=1)]
    (tabular,) = tabulars(latex.render(laid_out(*cells)))
    assert rows(tabular)[-1][3].source == r"$^{\pm1.41}_{\color{prunegridgrey}0.00\,(1/2)}$"


def test_each_status_looks_its_own_way_and_none_is_lost() -> None:
    cells = [cell(f"random+{word}", word, method="random+ppl") for word in latex.STATUS]
    (tabular,) = tabulars(latex.render(laid_out(*cells)))
    entries = [line[2] for line in rows(tabular)[2:]]
    assert [printed(entry.source.removeprefix(r"\multicolumn{2}{c}")).split("^")[0] for entry in entries] == [
        *("missing", "running …", "stale†", "failed")
    ]
    assert len({entry.source for entry in entries}) == len(latex.STATUS)


def test_a_failure_has_its_mark_and_its_note() -> None:
    text = latex.render(seeded())
    notes = next(node for path, node in environments(text) if path.endswith("minipage")).latex_verbatim()
    assert r"\textsuperscript{1}~m, s0.125-t0.5/\allowbreak{}entropy+ppl" in notes
    assert text.count(r"\textsuperscript{1}") == 1 + 3


def test_a_models_notes_are_about_its_own_failures() -> None:
    other = [row | {"model": "n"} for rows in SEEDED for row in rows]
    both = latex.render(laid_out(*SEEDED, other, failures=SEEDED_FAILED))
    first, second = both.split(r"\end{table}")[:2]
    assert "a/\\allowbreak{}b.log" in first
    assert "b.log" not in second


@pytest.mark.parametrize("plain", [MIXED, "a_b-c--d---e", "x × y ± 1 – 2", "50 % of it", "(1/3 †), (1/3 …)"])
def test_text_is_escaped_so_that_it_prints_as_it_is(plain: str) -> None:
    assert printed(latex.escape(plain)) == plain


@pytest.mark.parametrize("sign", sorted(set(string.punctuation) - set("\"'`")))
def test_every_sign_prints_as_it_is(sign: str) -> None:
    assert printed(latex.escape(f"a{sign}b")) == f"a{sign}b"


def test_escaped_everywhere() -> None:
    cells = [row | {"model": MIXED, "benchmark": row["benchmark"] + MIXED} for row in cell("[x]" + MIXED, 1, 2)]
    text = latex.render(laid_out(cells, title=MIXED, note=f"two\n\nlines {MIXED}", footer=(MIXED,)))
    (tabular,) = tabulars(text)
    assert {sum(cell.span for cell in line) for line in rows(tabular)} == {2 + 2 * 3}
    assert printed(rows(tabular)[2][0].source) == "[x]" + MIXED
    assert rows(tabular)[2][0].source.startswith("{[}")
    assert text.count(r"50\% of a\_b \& c\#1 \{x\} \$5") == 2 + 3 + 1 + 1 + 1
    assert "two lines" in text


def test_room_for_a_hundred() -> None:
    assert "table-format=3.2" in latex.render(laid_out(cell("random+ppl", 99.999)))
    assert "table-format=2.2" in latex.render(laid_out(cell("random+ppl", 99.99)))
