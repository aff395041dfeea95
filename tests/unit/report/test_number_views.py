"""Costs, budgets and where it comes from: what is drawn and told is what the results folder has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import files
from prunegrid.results import collect
from prunegrid.statistics import deltas
from prunegrid.statistics.power import detectable
from support.browser import opened

TITLES = ["Table", "Items", "Costs", "Budgets"]


@pytest.fixture(scope="module")
def tab(folder: Path, browser: Any) -> Iterator[Any]:
    with opened(browser, folder / "report.html") as page:
        yield page


def show(tab: Any, name: str, address: str = "") -> Any:
    """The section of a view, once its address is drawn."""
    go = "async ([name, address]) => { location.hash = `${name}?${address}`; await page.open(); }"
    tab.evaluate(go, [name, address])
    return tab.locator(f"#view-{name}")


def drawn(section: Any) -> list[dict[str, Any]]:
    """What the plot's points are drawn from."""
    rows: list[dict[str, Any]] = section.evaluate("element => element.querySelector('.plot').points")
    return rows


def test_tabs_are_the_views_that_have_something_to_show(tab: Any) -> None:
    titles = tab.locator("#tabs a").all_inner_texts()
    assert titles[:4] == TITLES
    assert titles[-1] == "Where it comes from"


def test_costs_are_counted_first_and_measured_with_a_caveat(tab: Any) -> None:
    section = show(tab, "costs")
    assert "Counted: the same on every machine." in section.inner_text()
    options = section.locator("label", has_text="Against").locator("option").all_inner_texts()
    assert options[0] == "Trained tokens, all epochs"
    assert "Small differences mean nothing" in show(tab, "costs", "axis=Cost").inner_text()


def test_costs_draw_each_scored_row_once_at_its_means(tab: Any, folder: Path) -> None:
    points = {(row["variant"], row["budget"]): row for row in drawn(show(tab, "costs", "benchmark=A"))}
    frame = collect.read(folder / "results.parquet").query("benchmark == 'A' and variant != 'zero-shot'")
    means = frame.groupby(["variant", "sample_ratio"], dropna=False)["score"].mean().dropna()
    assert len(points) == len(means) == 6
    (q0,) = [row for (variant, budget), row in points.items() if variant == "q0" and budget.startswith("12.5")]
    assert q0["score"] == round(means["q0", 0.125], 2)
    assert (q0["Tokens"], q0["qtuning"]) == (1234, True)
    (line,) = (
        deltas.read(folder / "deltas.parquet")
        .query("variant == 'q0' and sample_ratio == 0.125 and benchmark == 'A'")
        .itertuples()
    )
    base = means["random+random", 0.125]
    assert q0["low"] == pytest.approx(base + line.low, abs=0.02)
    assert q0["high"] == pytest.approx(base + line.high, abs=0.02)


def test_budgets_draw_the_detectable_difference_around_the_baseline(tab: Any, folder: Path) -> None:
    section = show(tab, "budgets", "benchmark=A")
    text = section.inner_text()
    sizes = detectable(deltas.read(folder / "deltas.parquet")).query("benchmark == 'A'").dropna(subset="mde")
    bands = section.evaluate("element => element.querySelector('.plot').bands")
    assert sorted(band["points"] for band in bands) == sorted(sizes["mde"])
    assert len(drawn(section)) == 5  # three rows, two budgets, one without a score
    assert "5 of 5 scores are drawn." in text


def test_origin_has_digests_counts_and_the_state_of_cells(tab: Any, folder: Path) -> None:
    text = show(tab, "origin").inner_text()
    digests = files.read_json(folder / "results.json")["sha256"]
    assert all(digest in text for digest in digests.values())
    assert "results/tiny: 15 cells, 2 benchmarks each" in text
    assert "failed" in text
