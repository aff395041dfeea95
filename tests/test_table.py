"""Layout and the three formats, from frames made by hand."""

# ruff: noqa: RUF001

import io
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prunegrid import results
from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell
from prunegrid.sections import Budget
from prunegrid.status import Failure
from prunegrid.table import render
from prunegrid.table.build import write_table
from prunegrid.table.layout import Entry, Table, lay_out

NOTE = "A sandbox: nothing here is about real models."
SAMPLE, TOKEN = ("random", "longest", "infobatch", "entropy"), ("random", "ppl", "fastv", "sparsevlm")
PAIRS = [f"{sample}+{token}" for sample in SAMPLE for token in TOKEN]


def cell(
    variant: str, *scores: float | str, method: str | None = None, seed: int | None = 0, **other: Any
) -> list[results.Row]:
    """A cell's rows for benchmarks A, B, ... and Avg; a word in place of a score is a status."""
    sample, _, token = (method or variant).partition("+")
    reference = variant in results.REFERENCES
    shared = {
        "model": "m",
        "sample_ratio": None if reference else 0.125,
        "token_ratio": None if reference else 0.5,
        "sample_pruner": sample,
        "token_pruner": token or None,
        "variant": variant,
        "seed": None if variant == "zero-shot" else seed,
    }
    rows = [
        shared
        | {"benchmark": name, "score": score, "status": "done"}
        | ({"score": None, "status": score} if isinstance(score, str) else {})
        | other
        for name, score in zip("ABCDE", scores, strict=False)
    ]
    return [*rows, results.average(rows)]


def laid_out(*cells: Sequence[results.Row], **options: Any) -> Table:
    frame = results.tidy([row for rows in cells for row in rows])
    frame = results.with_deltas(frame, dict.fromkeys(frame["variant"], "random+random"))
    return lay_out(frame, **{"title": "T", "note": NOTE} | options)


def entry(table: Table, label: str, benchmark: str, model: str = "m") -> Entry:
    row = next(row for row in table.rows if label in (row.sample, f"{row.sample}+{row.token}"))
    return row.entries[model, benchmark]


SMALL = (
    cell("zero-shot", 10, 20),
    cell("random+random", 30, 8),
    cell("random+ppl", 30, 7.5),
    cell("entropy+ppl", "failed", "failed"),
    cell("qtuning", 33.333, 8),
    cell("q0", "missing", 6, method="qtuning"),
    cell("full", 40, 50),
)
FAILED = {Cell("m", "entropy+ppl", Budget(sample_ratio=0.125, token_ratio=0.5), 0): Failure("train", Path("a/b.log"))}
MARKDOWN = """\
# T

Scores in percent. Arrows: points above or below Random + Random at the same model, budget and seed. \
Bold: best of the column among the budget's pruned rows. missing: not computed yet. \
failed: a step did not end well, see its log.

> A sandbox: nothing here is about real models.

## m

| Sample pruner   | Token pruner   | A       | B       | Avg     |
|:----------------|:---------------|:--------|:--------|:--------|
| Zero-Shot       | –              |   10.00 |   20.00 |   15.00 |

### 12.5 % samples × 50 % tokens

| Sample pruner   | Token pruner   | A               | B               | Avg             |
|:----------------|:---------------|:----------------|:----------------|:----------------|
| Random          | Random         |   30.00         |  **8.00**       |   19.00         |
| Random          | PPL            |   30.00    0.00 |    7.50   ↓0.50 |   18.75   ↓0.25 |
| Entropy         | PPL            |   failed [1]    |   failed [1]    |   failed [1]    |
| ─────────────   | ────────────   | ─────────────── | ─────────────── | ─────────────── |
| Q-Tuning        | joint          | **33.33** ↑3.33 |  **8.00**  0.00 | **20.67** ↑1.67 |
| q0              | Q-Tuning       |   missing       |    6.00   ↓2.00 |   missing       |
| Full Dataset    | –              |   40.00         |   50.00         |   45.00         |

- [1] m, s0.125-t0.5/entropy+ppl/seed0: train did not end well, see a/b.log
"""


class Page(HTMLParser):
    """All start tags with attributes, and the text of each row with the row's classes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[str, list[str]]] = []
        self.bold: list[str] = []
        self._bold = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append((dict(attrs).get("class") or "", []))
        self._bold = tag == "b"

    def handle_data(self, data: str) -> None:
        if data.strip() and self.rows:
            self.rows[-1][1].append(data.strip())
        if self._bold:
            self.bold.append(data)
            self._bold = False


def test_markdown() -> None:
    assert render.markdown(laid_out(*SMALL, failures=FAILED)) == MARKDOWN


def test_the_note_stands_right_above_the_table() -> None:
    table = laid_out(*SMALL)
    assert f"> {NOTE}\n\n## m\n\n| Sample" in render.markdown(table)
    assert f"# {NOTE}\nsample_ratio," in render.csv(table)
    assert f'<p class="note">{NOTE}</p>\n<div class="wide">\n<table>' in render.html(table)


def test_csv_round_trip() -> None:
    text = render.csv(laid_out(*SMALL, failures=FAILED, note='two lines,\n"quoted" # and all'))
    frame = pd.read_csv(io.StringIO(text), comment="#")
    assert frame.columns.tolist() == [
        *("sample_ratio", "token_ratio", "sample_pruner", "token_pruner"),
        *("m A", "m A delta", "m B", "m B delta", "m Avg", "m Avg delta"),
    ]
    assert frame["m A"].tolist() == ["10.00", "30.00", "30.00", "failed", "33.33", "missing", "40.00"]
    assert frame["m B delta"].dropna().tolist() == [-0.5, 0, -2]
    assert frame["sample_ratio"].tolist()[1:] == [0.125] * 6


def test_html_has_the_published_layout() -> None:
    scored = [cell(pair, 30, 20, 10, 5, number) for number, pair in enumerate(PAIRS)]
    references = [cell(name, 1, 2, 3, 4, 5) for name in ("zero-shot", "full")]
    table = laid_out(references[0], *scored, cell("qtuning", 40, 50, 60, 4, 3), references[1])
    (frame,) = pd.read_html(io.StringIO(render.html(table)))
    body = frame[~frame.iloc[:, 0].str.contains("% samples")]
    assert body.shape == (19, 2 + 6)
    assert body.iloc[:, 0].tolist() == [
        "Zero-Shot",
        *(name for name in ("Random", "Longest", "InfoBatch", "Entropy") for _ in TOKEN),
        "Q-Tuning",
        "Full Dataset",
    ]
    assert body.iloc[:, 7].tolist()[1:3] == ["13.00", "13.20 ↑0.20"]
    assert not body.isna().any(axis=None)


def test_html_tints_and_rules_off_the_joint_rows_only() -> None:
    page = Page(render.html(laid_out(*SMALL, failures=FAILED)))
    joint = [texts[0] for classes, texts in page.rows if "joint" in classes.split()]
    assert joint == ["Q-Tuning", "q0"]
    assert page.bold == ["8.00", "33.33", "8.00", "20.67"]


def test_html_colours_deltas_by_sign() -> None:
    page = Page(render.html(laid_out(*SMALL)))
    deltas = [attributes["class"] for tag, attributes in page.tags if (attributes.get("class") or "")[:5] == "delta"]
    assert deltas.count("delta up") == 2
    assert deltas.count("delta down") == 3
    assert deltas.count("delta") == 3 * 3 + 2


def test_html_is_one_file_and_escapes_everything() -> None:
    evil = "<script>alert('&')</script>"
    cells = [row | {"model": evil, "benchmark": row["benchmark"] + "<i>"} for row in cell("<b>x", 1, 2)]
    page = render.html(laid_out(cells, title=evil, note=evil))
    tags = {tag for tag, _ in Page(page).tags}
    assert not tags & {"script", "i", "link", "img"}
    assert page.count("&lt;script&gt;alert(&#39;&amp;&#39;)") >= 4
    assert "&lt;b&gt;x" in page


def test_markdown_escapes_the_column_mark() -> None:
    assert r"a\|b" in render.markdown(laid_out(cell("a|b", 1, 2)))


def test_ties_are_all_bold_and_references_do_not_compete() -> None:
    table = laid_out(cell("random+random", 10.001), cell("random+ppl", 10.004), cell("full", 99))
    assert entry(table, "Random+Random", "A").best
    assert entry(table, "Random+PPL", "A").best
    assert not entry(table, "Full Dataset", "A").best


def test_best_is_per_budget_and_model() -> None:
    other = [row | {"token_ratio": 0.7} for row in cell("random+random", 5)]
    model = [row | {"model": "n"} for row in cell("random+random", 7)]
    table = laid_out(cell("random+random", 10), other, model)
    assert [[row.entries["m", "A"].best for row in group.rows] for group in table.groups] == [[True], [True]]
    assert entry(table, "Random+Random", "A", "n").best
    assert table.groups[1].rows[0].entries["n", "A"] == Entry()


def test_seeds_are_averaged_score_and_delta() -> None:
    table = laid_out(
        *(cell("random+random", score, seed=seed) for seed, score in enumerate((10, 20, 30))),
        *(cell("random+ppl", score, seed=seed) for seed, score in enumerate((11, 20, 35))),
    )
    shown = entry(table, "Random+PPL", "A")
    assert (shown.score, shown.delta, shown.done, shown.seeds) == (22, 2, 3, 3)
    assert "Means over 3 seeds" in " ".join(render.legend(table))
    assert "(3/3)" not in render.markdown(table)


def test_a_mean_that_lacks_seeds_says_so_and_is_never_best() -> None:
    table = laid_out(
        *(cell("random+random", score, seed=seed) for seed, score in enumerate((10, "failed", 30))),
        *(cell("random+ppl", score, seed=seed) for seed, score in enumerate((12, 50, "missing"))),
        *(cell("entropy+ppl", score, seed=seed) for seed, score in enumerate((1, 2, 3))),
    )
    assert [entry(table, label, "A").best for label in ("Random+PPL", "Entropy+PPL")] == [False, True]
    text = render.markdown(table)
    assert "20.00   (2/3)" in text
    assert "31.00   (2/3) ↑2.00 (1/3)" in text
    assert "**2.00** ↓18.00 (2/3)" in text
    assert '<span class="seeds">(2/3)</span>' in render.html(table)
    assert pd.read_csv(io.StringIO(render.csv(table)), comment="#")["m A seeds"].tolist() == [
        "2/3",
        "2/3",
        "3/3",
    ]


def test_a_failed_seed_beside_a_done_one_is_footnoted() -> None:
    budget = Budget(sample_ratio=0.125, token_ratio=0.5)
    failures = {Cell("m", "random+random", budget, seed): Failure("evaluate", Path("x.log")) for seed in (0, 1)}
    table = laid_out(cell("random+random", 10), cell("random+random", "failed", seed=1), failures=failures)
    assert table.footnotes == ["m, s0.125-t0.5/random+random/seed1: evaluate did not end well, see x.log"]
    assert entry(table, "Random+Random", "A").marks == (1,)
    assert "10.00   (1/2) [1]" in render.markdown(table)


def test_a_done_benchmark_of_a_failed_cell_has_no_footnote() -> None:
    table = laid_out(cell("entropy+ppl", 10, "failed"), failures=FAILED)
    marks = [entry(table, "Entropy+PPL", benchmark).marks for benchmark in ("A", "B", "Avg")]
    assert marks == [(), (1,), (1,)]


def test_realised_ratios_stand_at_the_rows_end() -> None:
    kept = {"realised_sample_ratio": 0.1234, "realised_token_ratio": 0.92}
    table = laid_out(cell("zero-shot", 1), cell("qtuning", 1, **kept), cell("random+ppl", 1))
    assert "| Realised" in render.markdown(table)
    assert "| 12.3 × 92.0" in render.markdown(table)
    (frame,) = pd.read_html(io.StringIO(render.html(table)))
    assert frame.iloc[:, -1].tolist() == ["–", "12.5 % samples × 50 % tokens", "–", "12.3 × 92.0"]
    read = pd.read_csv(io.StringIO(render.csv(table)), comment="#")
    assert read[["m realised samples", "m realised tokens"]].dropna().values.tolist() == [[0.1234, 0.92]]


def test_realised_ratios_of_full_alone_are_left_out() -> None:
    whole = {"realised_sample_ratio": 1.0, "realised_token_ratio": 1.0}
    assert not laid_out(cell("random+ppl", 1), cell("full", 1, **whole)).realised


def test_full_closes_every_group_and_joint_methods_follow_the_pairs() -> None:
    wider = [row | {"token_ratio": 0.7} for row in cell("random+ppl", 5)]
    table = laid_out(cell("full", 9), cell("qtuning", 3), cell("random+ppl", 2), wider)
    labels = [[row.sample for row in group.rows] for group in table.groups]
    assert labels == [["Random", "Q-Tuning", "Full Dataset"], ["Random", "Full Dataset"]]


def test_a_variant_with_its_own_name_shows_it_beside_its_method() -> None:
    table = laid_out(cell("drop", 1, method="random+ppl"), cell("mine", 1, method="longest+other"))
    assert [(row.sample, row.token) for row in table.rows] == [
        ("drop", "Random + PPL"),
        ("mine", "Longest + other"),
    ]


def test_rows_of_another_mode_or_removal_say_so_and_the_note_says_what_all_rows_share() -> None:
    usual = {"mode": "static", "removal": "mask"}
    mixed = laid_out(
        cell("random+ppl", 1, **usual),
        cell("mine", 1, method="random+ppl", **usual | {"removal": "drop"}),
        cell("qtuning", 1, **usual | {"mode": "dynamic", "removal": "drop"}),
    )
    assert [row.token for row in mixed.rows] == ["PPL", "Random + PPL, drop", "dynamic, drop"]
    assert mixed.note == NOTE
    dynamic = laid_out(cell("random+ppl", 1, **usual | {"mode": "dynamic"}), cell("full", 1, **usual))
    assert [row.token for row in dynamic.rows] == ["PPL", ""]
    assert dynamic.note == f"{NOTE} Every mini-batch is pruned with the weights of the moment (mode: dynamic)."


@pytest.mark.parametrize(
    ("delta", "shown"), [(2.341, "↑2.34"), (-0.5, "↓0.50"), (0.0, "0.00"), (-0.0, "0.00"), (12, "↑12.00")]
)
def test_arrow(delta: float, shown: str) -> None:
    assert render.arrow(delta) == shown


def test_a_delta_that_rounds_to_zero_has_no_arrow_and_no_sign() -> None:
    table = laid_out(cell("random+random", 10), cell("random+ppl", 9.998))
    assert entry(table, "Random+PPL", "A").delta == 0
    assert "↓" not in render.markdown(table)
    assert "-0.00" not in render.csv(table)


def test_no_entry_is_ever_empty() -> None:
    frame = pd.read_html(io.StringIO(render.html(laid_out(*SMALL, failures=FAILED))))[0]
    assert not frame.iloc[:, 2:].isna().any(axis=None)


def test_an_empty_frame_is_an_error() -> None:
    with pytest.raises(PrunegridError, match="T: no results"):
        laid_out()


def test_write_table_writes_every_format(tmp_path: Path) -> None:
    frame = results.tidy(cell("random+random", 1, 2))
    table = write_table(frame, tmp_path / "table", title="T", note=NOTE)
    assert (tmp_path / "table/table.md").read_text() == render.markdown(table)
    assert (tmp_path / "table/table.csv").read_text() == render.csv(table)
    assert (tmp_path / "table/table.html").read_text() == render.html(table)
