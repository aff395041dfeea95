"""The table of the page in a real browser: its numbers, what sorts and filters it, deltas against a chosen row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prunegrid.results import collect
from prunegrid.statistics import deltas
from prunegrid.table.document import TIMES
from support.browser import opened

BENCHMARKS = ["A", "B", "Avg"]
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def tab(folder: Path, browser: Any) -> Iterator[Any]:
    with opened(browser, folder / "report.html") as page:
        yield page


def show(tab: Any, address: str) -> None:
    """Open an address of the page, and wait until it is drawn."""
    tab.evaluate("address => { page.go('table', Object.fromEntries(new URLSearchParams(address)), false) }", address)
    tab.evaluate("() => page.open()")


def shown(tab: Any) -> dict[tuple[str, str, str], dict[str, str]]:
    """Each row's cells by column title, by its group and labels, in the order of the page."""
    script = """async () => { await page.open();
      const titles = [...document.querySelectorAll('#view-table .tabulator-col')];
      const words = (c) => c.innerText.replace(/\\s+/g, ' ').trim();
      const named = Object.fromEntries(titles.map((t) => [t.getAttribute('tabulator-field'), t.innerText.trim()]));
      let group = ''; const rows = [];
      for (const row of document.querySelectorAll('#view-table .tabulator-row')) {
        if (row.classList.contains('tabulator-group')) { group = row.innerText.trim(); continue; }
        const cells = [...row.querySelectorAll('.tabulator-cell')].filter((c) => c.offsetParent);
        const texts = cells.map((c) => [named[c.getAttribute('tabulator-field')], words(c)]);
        rows.push([group, row.className, Object.fromEntries(texts)]); }
      return rows; }"""
    rows = tab.evaluate(script)
    return {(group, cells["Sample pruner"], cells["Token pruner"]): cells for group, _, cells in rows}


SMALL, LARGE = (f"{percent} % samples {TIMES} 50 % tokens" for percent in ("12.5", "50"))
ORDER = [
    ("References", "Zero-Shot", ""),
    *[
        (group, *names)
        for group in (SMALL, LARGE)
        for names in (("Random", "Random"), ("Random", "PPL"), ("q0", "Q-Tuning, drop"), ("Full Dataset", ""))
    ],
]


def mean(frame: pd.DataFrame, variant: str, benchmark: str, ratio: float | None) -> float:
    rows = frame[(frame["variant"] == variant) & (frame["benchmark"] == benchmark)]
    rows = rows[rows["sample_ratio"].isna() if ratio is None else rows["sample_ratio"] == ratio]
    return float(rows["score"].mean())


NAMES = {("Random", "Random"): "random+random", ("q0", "Q-Tuning, drop"): "q0", ("Full Dataset", ""): "full"}


def test_table_has_the_order_and_numbers_of_the_results(tab: Any, folder: Path) -> None:
    show(tab, "")
    rows, frame = shown(tab), collect.read(folder / "results.parquet")
    assert list(rows) == ORDER
    for (group, *names), cells in rows.items():
        if variant := NAMES.get(tuple(names)):
            ratio = None if variant == "full" else 0.125 if group == SMALL else 0.5
            scores = [cells[name].split(" ")[0] for name in BENCHMARKS]
            assert scores == [f"{mean(frame, variant, name, ratio):.2f}" for name in BENCHMARKS]


def test_cells_without_a_score_say_why(tab: Any) -> None:
    show(tab, "")
    assert shown(tab)[LARGE, "Random", "PPL"]["A"].startswith("failed")


def test_own_deltas_are_those_of_the_statistics(tab: Any, folder: Path) -> None:
    show(tab, "show=Delta,Interval")
    frame = deltas.read(folder / "deltas.parquet")
    (row,) = frame.query("variant == 'q0' and sample_ratio == 0.5 and benchmark == 'A'").itertuples()
    interval = f"{row.low:+.2f} to {row.high:+.2f}".replace("-", MINUS)
    assert shown(tab)[LARGE, "q0", "Q-Tuning, drop"]["A"] == f"↑{row.delta:.2f} {interval}"


def test_deltas_against_a_chosen_row_are_differences_of_the_seeds(tab: Any, folder: Path) -> None:
    show(tab, "")
    tab.locator("label", has_text="Deltas against").locator("select").select_option("q0")
    frame = collect.read(folder / "results.parquet")
    difference = mean(frame, "random+random", "A", 0.125) - mean(frame, "q0", "A", 0.125)
    rows = shown(tab)
    assert rows[SMALL, "Random", "Random"]["A"].endswith(f" ↓{-difference:.2f}")
    assert "↑" not in rows[SMALL, "q0", "Q-Tuning, drop"]["A"]
    words = tab.get_by_role("status").inner_text()
    assert "points above or below q0 (Q-Tuning, drop) at the same model, budget and seed" in words
    assert "`prunegrid table results/tiny --against q0`" in words


def test_intervals_against_another_row_are_those_that_were_made(tab: Any, folder: Path) -> None:
    show(tab, "against=full&show=Delta,Interval")
    frame = deltas.read(folder / "table/against-full/deltas.parquet")
    (row,) = frame.query("variant == 'q0' and sample_ratio == 0.5 and benchmark == 'A'").itertuples()
    interval = f"{row.low:+.2f} to {row.high:+.2f}".replace("-", MINUS)
    assert shown(tab)[LARGE, "q0", "Q-Tuning, drop"]["A"] == f"↓{-row.delta:.2f} {interval}"
    assert "No intervals" not in tab.get_by_role("status").inner_text()


def test_a_header_sorts_within_each_budget_by_mouse_and_keys(tab: Any) -> None:
    show(tab, "")
    head = tab.locator(".tabulator-col", has_text="Avg")
    head.click()
    largest = ["Full Dataset", "q0", "Random", "Random"]
    assert [sample for group, sample, _ in shown(tab) if group == SMALL] == largest
    assert "sort=-Avg" in tab.url
    head.focus()
    tab.keyboard.press("Enter")
    assert [sample for group, sample, _ in shown(tab) if group == SMALL] == largest[::-1]
    assert [token for group, _, token in shown(tab) if group == LARGE][-1] == "PPL"  # without a score: last either way


@pytest.mark.parametrize(
    ("address", "rows"),
    [
        ("kind=joint", [ORDER[3], ORDER[7]]),
        ("pruner=PPL", [ORDER[2], ORDER[6]]),
        ("budget=s0.5-t0.5", ORDER[5:]),
        ("find=zero", ORDER[:1]),
        ("find=random&budget=s0.125-t0.5", ORDER[1:3]),
    ],
)
def test_filters_leave_what_they_name(address: str, rows: list[tuple[str, ...]], tab: Any) -> None:
    show(tab, address)
    assert list(shown(tab)) == rows


def test_a_filter_of_the_page_is_in_its_address(tab: Any) -> None:
    show(tab, "")
    tab.locator("label", has_text="Rows").locator("select").select_option("joint")
    tab.get_by_placeholder("in a row's name").fill("q0")
    assert list(shown(tab)) == [ORDER[3], ORDER[7]]
    assert tab.url.endswith("#table?kind=joint&find=q0")


def test_columns_come_and_go(tab: Any) -> None:
    show(tab, "")
    before = shown(tab)[ORDER[1]]
    tab.get_by_role("button", name="Kept").click()
    tab.get_by_role("button", name="Cost").click()
    after = shown(tab)[ORDER[1]]
    assert "Kept" in before
    assert "Kept" not in after
    assert "Cost" in after


def test_rows_within_noise_fade(tab: Any, folder: Path) -> None:
    show(tab, "noise=dim")
    frame = deltas.read(folder / "deltas.parquet").query("benchmark == 'Avg'")
    within = {(row.variant, row.sample_ratio) for row in frame.itertuples() if row.low <= 0 <= row.high}
    faded = tab.evaluate("() => document.querySelectorAll('.tabulator-row.noise').length")
    assert faded == len(within)
    assert 0 < faded < len(frame)


def test_enter_on_a_score_opens_its_items_beside_the_chosen_row(tab: Any) -> None:
    show(tab, "against=full")
    tab.locator(".tabulator-row.joint").last.locator("a.score").first.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#view-items[data-ready]:not([hidden])")
    assert tab.url.endswith("#items?model=m&benchmark=A&budget=s0.5-t0.5&a=q0&b=full")


def test_a_phone_scrolls_the_table_not_the_page(folder: Path, browser: Any) -> None:
    with opened(browser, folder / "report.html", size="phone") as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        holder = page.locator("#view-table .tabulator-tableholder")
        assert holder.evaluate("element => element.scrollWidth > element.clientWidth")
        assert page.locator(".tabulator-cell[tabulator-field=sample]").first.is_visible()


def test_print_shows_the_static_table(folder: Path, browser: Any) -> None:
    with opened(browser, folder / "report.html") as page:
        page.emulate_media(media="print")
        assert page.locator("#static table").first.is_visible()
        assert not page.locator("#view-table").is_visible()
