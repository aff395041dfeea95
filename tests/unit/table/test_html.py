"""The table as HTML."""

# ruff: noqa: RUF001

import io

import pandas as pd

from prunegrid.table import html
from support.table_frames import FAILED, SMALL, Page, cell, laid_out, seeded

SAMPLE, TOKEN = ("random", "longest", "infobatch", "entropy"), ("random", "ppl", "fastv", "sparsevlm")
PAIRS = [f"{sample}+{token}" for sample in SAMPLE for token in TOKEN]


def test_html_has_the_published_layout() -> None:
    scored = [cell(pair, 30, 20, 10, 5, number) for number, pair in enumerate(PAIRS)]
    references = [cell(name, 1, 2, 3, 4, 5) for name in ("zero-shot", "full")]
    table = laid_out(references[0], *scored, cell("qtuning", 40, 50, 60, 4, 3), references[1])
    (frame,) = pd.read_html(io.StringIO(html.render(table)))
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
    page = Page(html.render(laid_out(*SMALL, failures=FAILED)))
    joint = [texts[0] for classes, texts in page.rows if "joint" in classes.split()]
    assert joint == ["Q-Tuning", "q0"]
    assert page.bold == ["8.00", "33.33", "8.00", "20.67"]


def test_html_colours_deltas_by_sign() -> None:
    page = Page(html.render(laid_out(*SMALL)))
    deltas = [attributes["class"] for tag, attributes in page.tags if (attributes.get("class") or "")[:5] == "delta"]
    assert deltas.count("delta up") == 2
    assert deltas.count("delta down") == 3
    assert deltas.count("delta") == 3 * 3 + 2


def test_html_is_one_file_and_escapes_everything() -> None:
    evil = "<script>alert('&')</script>"
    cells = [row | {"model": evil, "benchmark": row["benchmark"] + "<i>"} for row in cell("<b>x", 1, 2)]
    page = html.render(laid_out(cells, title=evil, note=evil))
    tags = {tag for tag, _ in Page(page).tags}
    assert not tags & {"script", "i", "link", "img"}
    assert page.count("&lt;script&gt;alert(&#39;&amp;&#39;)") >= 4
    assert "&lt;b&gt;x" in page


def test_no_entry_is_ever_empty() -> None:
    frame = pd.read_html(io.StringIO(html.render(laid_out(*SMALL, failures=FAILED))))[0]
    assert not frame.iloc[:, 2:].isna().any(axis=None)


def test_html_of_several_seeds() -> None:
    page = Page(html.render(seeded()))
    shown = {texts[0]: texts for _, texts in page.rows}
    scores = ["35.00", "±4.00", "↑3.00", "*", "9.00", "±0.00", "↑1.00", "22.00", "±2.00", "↑2.00"]
    assert shown["PPL"] == ["PPL", *scores, "12.5 × 51.3", "12.3k", "120", "3"]
    assert shown["Entropy"][1:6] == ["PPL", "20.00", "(1/3)", "↓10.00", "[1]"]
    assert shown["Longest"][1:6] == ["PPL", "21.00", "(1/3 †)", "4.00", "(1/3 …)"]


def test_html_gives_each_status_a_class_of_its_own() -> None:
    words = ("missing", "running", "stale", "failed")
    text = html.render(laid_out(*(cell(f"random+{word}", word, method="random+ppl") for word in words)))
    classes = [attributes.get("class") for tag, attributes in Page(text).tags if tag == "span"]
    assert classes == [word for word in words for _ in ("A", "Avg")]
    assert all(f".{word} {{" in text or f".{word}, " in text for word in words)


def test_html_footer_stands_below_the_footnotes() -> None:
    text = html.render(seeded(footer=("Items <a> & b.",)))
    assert text.index("see a/b.log") < text.index("<p>Items &lt;a&gt; &amp; b.</p>") < text.index("</body>")
