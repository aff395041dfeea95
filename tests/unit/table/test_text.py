"""The table as Markdown and as CSV."""

# ruff: noqa: RUF001

import io
import re

import pandas as pd
import pytest

from prunegrid.table import csv, markdown, text
from support.table_frames import FAILED, SMALL, cell, entry, laid_out, seeded

MARKDOWN = """\
# T

Scores in percent. Arrows: points above or below Random + Random at the same model, budget and seed. \
Bold: best of the column among the budget's pruned rows, unless all are equal. missing: not computed yet. \
failed: a step failed, see its log.

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
| Q-Tuning        | joint          | **33.33** ↑3.33 |  **8.00**  0.00 | **20.67** ↑1.67 |
| q0              | Q-Tuning       |   missing       |    6.00   ↓2.00 |   missing       |
| Full Dataset    | –              |   40.00         |   50.00         |   45.00         |

- [1] m, s0.125-t0.5/entropy+ppl/seed0: train failed, see a/b.log
"""
SEEDED = """\
| Sample pruner   | Token pruner   | A                                 | B                                | Avg                              | Kept        | Tokens   | Cost   | Seeds   |
|:----------------|:---------------|:----------------------------------|:---------------------------------|:---------------------------------|:------------|:---------|:-------|:--------|
| Random          | Random         |   32.00   ± 2.00                  |    8.00   ± 0.00                 |   20.00   ± 1.00                 | 12.5 × 51.3 | 12.3k    | 120    | 3       |
| Random          | PPL            | **35.00** ± 4.00 ↑3.00*           |  **9.00** ± 0.00 ↑1.00           | **22.00** ± 2.00 ↑2.00           | 12.5 × 51.3 | 12.3k    | 120    | 3       |
| Entropy         | PPL            |   20.00          (1/3) ↓10.00 [1] |    3.00          (1/3) ↓5.00 [1] |   11.50          (1/3) ↓7.50 [1] | 12.5 × 51.3 | 12.3k    | 120    | 1       |
| Longest         | PPL            |   21.00          (1/3 †)          |    4.00          (1/3 …)         |   12.50          (1/3 …)         | 12.5 × 51.3 | 12.3k    | 120    | 1       |
| Q-Tuning        | joint          |   stale †                         |   running …                      |   running …                      | 12.5 × 51.3 | 12.3k    | 120    | 0       |
| Full Dataset    | –              |   40.00   ± 0.00                  |   missing                        |   missing                        | 12.5 × 51.3 | 12.3k    | 120    | 0       |

- [1] m, s0.125-t0.5/entropy+ppl/seed1: train failed, see a/b.log

Protocol: p.

MDE: 3 points.
"""  # noqa: E501


def test_markdown() -> None:
    assert markdown.render(laid_out(*SMALL, failures=FAILED)) == MARKDOWN


def test_markdown_of_several_seeds() -> None:
    assert markdown.render(seeded()).partition("### 12.5 % samples × 50 % tokens\n\n")[2] == SEEDED


def test_csv_round_trip() -> None:
    text = csv.render(laid_out(*SMALL, failures=FAILED, note='two lines,\n"quoted" # and all'))
    frame = pd.read_csv(io.StringIO(text))
    assert frame.columns.tolist() == [
        *("sample_ratio", "token_ratio", "variant", "sample_pruner", "token_pruner"),
        *("m A", "m A status", "m A delta", "m B", "m B status", "m B delta"),
        *("m Avg", "m Avg status", "m Avg delta"),
    ]
    assert frame["m A"].dropna().tolist() == [10, 30, 30, 33.33, 40]
    assert frame["m A status"].tolist() == ["done", "done", "done", "failed", "done", "missing", "done"]
    assert frame["m B delta"].dropna().tolist() == [-0.5, 0, -2]
    assert frame["sample_ratio"].tolist()[1:] == [0.125] * 6


def test_markdown_escapes_the_column_mark() -> None:
    table = laid_out([row | {"benchmark": f"{row['benchmark']}|"} for row in cell("a|b", 1, 2)])
    lines = [line for line in markdown.render(table).splitlines() if line.startswith("|")]
    assert r"a\|b" in lines[2]
    assert r"A\|" in lines[0]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {1 + 2 + 3}


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        *(
            (same, same)
            for same in ("lm_eval a__b 50 % (k/3): p < 0.05 & more", "Rho-1, a-b [1] see a/b.log", "-1.5 #2")
        ),
        ("*x* `y` ~z~ $w$ a|b", r"\*x\* \`y\` \~z\~ \$w\$ a\|b"),
        ("_x_ a_ __b", r"\_x\_ a\_ \_\_b"),
        ("<b>x</b> <!-- <3 < 4", r"\<b>x\</b> \<!-- <3 < 4"),
        ("&lt; &#38; a & b;", r"\&lt; \&#38; a & b;"),
        ("[x](y) [x][y] [x]: y [x]", r"[x\](y) [x\][y] [x\]: y [x]"),
        ("a\\_b c\\d \\", r"a\\\_b c\d \\"),
        ("# x #", r"\# x \#"),
        ("> x\n- y\n  + z\n1. a\n2)\n---\n===", "\\> x\n\\- y\n\\+ z\n1\\. a\n2\\)\n\\---\n\\==="),
    ],
)
def test_markdown_escapes_what_would_change_the_rendering_only(plain: str, shown: str) -> None:
    assert markdown.escape(plain) == shown


def test_markdown_escapes_every_text() -> None:
    evil = "<b> *x*\n_y_"
    cells = [row | {"model": evil, "benchmark": row["benchmark"] + evil} for row in cell("random+random", 1)]
    cells += [row | {"model": evil, "benchmark": row["benchmark"] + evil} for row in cell(evil, 2, method="random+x*")]
    lines = markdown.render(laid_out(cells, title=evil, note=evil, footer=(evil,))).splitlines()
    shown = r"\<b> \*x\* \_y\_"
    assert lines[0] == f"# {shown}"
    assert lines[4:7] == [r"> \<b> \*x\*", r"> \_y\_", ""]
    assert lines[7] == f"## {shown}"
    assert lines[-2:] == [r"\<b> \*x\*", r"\_y\_"]
    assert f"A{shown}" in lines[11]
    assert shown in lines[14]
    assert r"x\*" in lines[14]


@pytest.mark.parametrize(
    ("delta", "shown"), [(2.341, "↑2.34"), (-0.5, "↓0.50"), (0.0, "0.00"), (-0.0, "0.00"), (12, "↑12.00")]
)
def test_arrow(delta: float, shown: str) -> None:
    assert text.arrow(delta) == shown


def test_a_delta_that_rounds_to_zero_has_no_arrow_and_no_sign() -> None:
    table = laid_out(cell("random+random", 10), cell("random+ppl", 9.998))
    assert entry(table, "Random+PPL", "A").delta == 0
    assert "↓" not in markdown.render(table)
    assert "-0.00" not in csv.render(table)


def test_csv_is_read_with_typed_columns_and_no_options() -> None:
    frame = pd.read_csv(io.StringIO(csv.render(seeded())))
    assert len(frame) == len(seeded().rows) and "#" not in frame.columns[0]
    numbers = [name for name in frame.columns if name.startswith("m ") and not name.endswith(("status", "significant"))]
    assert {frame[name].dtype.kind for name in numbers} == {"f", "i"}
    assert frame["m A"].tolist()[:5] == [10, 32, 35, 20, 21]
    assert frame["m B"].isna().tolist() == [False] * 5 + [True] * 2
    assert frame["m A delta seeds"].dropna().tolist() == [3, 1]


def test_csv_has_the_worst_status_of_several_seeds() -> None:
    frame = pd.read_csv(io.StringIO(csv.render(seeded())))
    shown = frame[["m A status", "m B status", "m Avg status"]].T.values.tolist()
    assert shown == [
        ["done", "done", "done", "failed", "stale", "stale", "done"],
        ["done", "done", "done", "failed", "running", "running", "missing"],
        ["done", "done", "done", "failed", "running", "running", "missing"],
    ]
