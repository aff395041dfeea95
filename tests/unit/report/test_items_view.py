"""The items of the page, in a browser: counts and intervals are those of the item files, and every item has a link."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from prunegrid.core import files
from prunegrid.core.ragged import Floats
from prunegrid.experiment import layout
from prunegrid.report import item_tables, items_view
from prunegrid.report.build import build
from prunegrid.statistics.inference import critical_value, item_effect, item_noise
from prunegrid.table.build import collect
from support.browser import opened
from support.finished_folder import PPL, edit_json, write_finished
from support.item_folder import CLUSTERS, QUESTIONS, fill, seeds
from support.results_folder import ITEMS, answer

ADDRESS = "#items?model=m&benchmark={}&budget=s0.125-t0.5&a=random%2Bppl&b=random%2Brandom"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("items") / "tiny"
    fill(root)
    build(root)
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`results/whole` in it was made by the real steps."""
    folder = tmp_path_factory.mktemp("home")
    write_finished(folder)
    return folder


@pytest.fixture
def opened_items(folder: Path, browser: Any) -> Iterator[Any]:
    with opened(browser, folder / "report.html", ADDRESS.format("A") + "&seed=1") as tab:
        yield tab


def values(root: Path, benchmark: str, variant: str, seed: int) -> Floats:
    file = root / layout.answers(f"m/s0.125-t0.5/{variant}/seed{seed}", benchmark)
    return np.asarray(pq.read_table(file)["value"])


def counts(tab: Any) -> dict[str, int]:
    buttons = tab.locator(".items-counts button")
    return {b.get_attribute("data-kind"): int(b.locator("b").inner_text()) for b in buttons.all()}


def limits(tab: Any) -> tuple[float, float, float]:
    """The difference and its interval, as shown."""
    text = tab.locator(".items-difference").inner_text().replace("\N{MINUS SIGN}", "-")
    before, after = text.split(" points, 95 % interval ")
    low, high = after.split(" (")[0].split(" to ")
    return float(before.rsplit(" ", 1)[1]), float(low), float(high)


def test_counts_are_those_of_the_item_files(folder: Path, opened_items: Any) -> None:
    a, b = (values(folder, "A", variant, 1) for variant in ("random+ppl", "random+random"))
    assert counts(opened_items) == {
        "all": ITEMS["A"],
        "both": int((a * b).sum()),
        "a": int((a > b).sum()),
        "b": int((b > a).sum()),
        "neither": int(((1 - a) * (1 - b)).sum()),
    }


def test_all_seeds_are_compared_by_their_means_with_the_interval_of_the_table(folder: Path, browser: Any) -> None:
    frame = collect(folder).deltas
    for benchmark in ITEMS:
        a, b = (
            np.mean([values(folder, benchmark, variant, seed) for seed in (0, 1)], axis=0)
            for variant in ("random+ppl", "random+random")
        )
        row = frame[(frame["benchmark"] == benchmark) & (frame["variant"] == "random+ppl")].iloc[0]
        with opened(browser, folder / "report.html", ADDRESS.format(benchmark)) as tab:
            shown = counts(tab)
            assert limits(tab) == pytest.approx((row["delta"], row["item_low"], row["item_high"]), abs=0.0051)
        assert (shown["a"], shown["b"]) == ((a > b).sum(), (b > a).sum())
        assert shown["equal"] == ((a == b) & (a > 0) & (a < 1)).sum()


@pytest.mark.parametrize("clusters", [None, "pairs", "one large", "few"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.4])
def test_the_browsers_interval_is_that_of_the_statistics(opened_items: Any, clusters: str | None, share: float) -> None:
    rng = np.random.default_rng(7)
    diffs_SI = rng.integers(-4, 5, (3, 240)) / 4 * (rng.random((3, 240)) < share)
    numbers = np.arange(240)
    cluster_I = {None: None, "pairs": numbers // 2, "few": numbers % 9, "one large": np.maximum(0, numbers - 200)}[
        clusters
    ]
    effect = item_effect(diffs_SI, cluster_I)
    given = [diffs_SI.mean(axis=0).tolist(), None if cluster_I is None else cluster_I.tolist()]
    found = opened_items.evaluate("([differences, clusters]) => paired.interval(differences, clusters)", given)
    assert found["delta"] == pytest.approx(effect.delta, abs=1e-12)
    assert found["clusters"] == effect.n_clusters
    if clusters == "few":
        assert found["low"] is found["high"] is None
    else:
        assert (found["low"], found["high"]) == pytest.approx(item_noise(effect).interval(effect.delta), rel=1e-9)


def test_the_browsers_critical_values_are_those_of_students_t(opened_items: Any) -> None:
    freedom = [0.3, 0.7, 1, 2, 3.5, 9.9, 10.1, 17, 100, 2375, 17943]
    found = opened_items.evaluate("(all) => all.map((one) => paired.critical(one, 0.05))", freedom)
    assert found == pytest.approx([critical_value(one, 0.05) for one in freedom], rel=1e-8)


def test_a_link_opens_its_item_with_what_was_asked_and_answered(folder: Path, browser: Any) -> None:
    file = folder / layout.answers("m/s0.125-t0.5/random+ppl/seed1", "A")
    with opened(browser, folder / "report.html", ADDRESS.format("A") + "&seed=1&item=17") as tab:
        article = tab.locator("article")
        assert article.locator("pre").all_inner_texts()[:2] == [QUESTIONS[17], "milk"]
        assert article.locator(".item-side-a pre").all_inner_texts() == [pq.read_table(file)["response"][17].as_py()]
        value = pq.read_table(file)["value"][17].as_py()
        assert ("right" if value else "wrong") in article.locator(".item-side-a").inner_text()


def test_every_item_of_the_list_leads_to_itself(opened_items: Any) -> None:
    opened_items.locator("a.item").nth(12).click()
    assert opened_items.locator("article pre").first.inner_text() == QUESTIONS[12]
    assert "item=12" in opened_items.url


def test_search_narrows_the_list_and_keeps_the_focus(opened_items: Any) -> None:
    opened_items.locator("input[type=search]").click()
    opened_items.keyboard.type("WHAT do 17 c")
    expect(opened_items.locator("a.item")).to_have_count(1)
    assert "Question 17:" in opened_items.locator("a.item").inner_text()
    assert "find=WHAT+do+17+c" in opened_items.url


def test_a_class_shows_its_items_alone(folder: Path, opened_items: Any) -> None:
    a, b = (values(folder, "A", variant, 1) for variant in ("random+ppl", "random+random"))
    opened_items.locator("button[data-kind=a]").click()
    opened_items.wait_for_selector("button[data-kind=a][aria-pressed=true]")
    shown = opened_items.locator(".items-list .item-id").all_inner_texts()
    assert [int(number) for number in shown] == np.flatnonzero(a > b).tolist()[:50]


def test_swapping_the_rows_turns_counts_and_difference_round(opened_items: Any) -> None:
    before, (delta, low, high) = counts(opened_items), limits(opened_items)
    opened_items.get_by_text("Swap A and B").click()
    expect(opened_items.locator("button[data-kind=b] b")).to_have_text(str(before["a"]))
    after = counts(opened_items)
    assert (after["a"], after["b"], after["both"]) == (before["b"], before["a"], before["both"])
    assert limits(opened_items) == pytest.approx((-delta, -high, -low))


def test_keys_go_from_item_to_item_and_back_to_the_list(folder: Path, browser: Any) -> None:
    with opened(browser, folder / "report.html", ADDRESS.format("A") + "&item=5") as tab:
        tab.keyboard.press("ArrowRight")
        tab.wait_for_url("**item=6")
        tab.keyboard.press("Escape")
        tab.wait_for_selector("a.item")
        assert "item=" not in tab.url


def test_unknown_names_in_an_address_are_said(folder: Path, browser: Any) -> None:
    for address, words in {
        "#items?model=m&benchmark=C": "no scores of m on C",
        ADDRESS.format("A") + "&item=900": "no item 900 in A",
        "#items?a=nothing": "no row nothing",
    }.items():
        with opened(browser, folder / "report.html", address) as tab:
            assert words in tab.locator("#view-items").inner_text()


def test_items_without_prompts_are_shown_by_their_names_and_it_is_said(folder: Path, browser: Any) -> None:
    with opened(browser, folder / "report.html", ADDRESS.format("B") + "&item=3") as tab:
        text = tab.locator("#view-items").inner_text()
        assert "hold no prompts" in text
        assert tab.locator("article pre").first.inner_text() == "B3"


def test_larger_grids_have_their_answers_on_pages_of_their_own(
    folder: Path, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items_view, "LIMIT", 3_000)
    out = build(folder, tmp_path / "small #1.html")
    assert [path.name for path in sorted((tmp_path / "small #1-items").iterdir())] == ["0-m-A.html", "1-m-B.html"]
    with opened(browser, out, ADDRESS.format("A") + "&seed=1") as tab:
        assert "would be too large with the answers of items" in tab.locator("#view-items").inner_text()
        in_main = counts(tab)
        tab.locator("a.item").nth(4).click()
        tab.wait_for_selector("article .item-side-a pre")
        assert tab.locator("article pre").first.inner_text() == QUESTIONS[4]
        assert counts(tab) == in_main
        tab.get_by_text("The whole report").click()
        tab.wait_for_selector("#tab-table")


def test_cells_that_were_asked_other_items_are_left_out_and_named(tmp_path: Path, browser: Any) -> None:
    cells = fill(tmp_path)
    full = next(seeds(cells, "full"))
    answer(tmp_path, full, "B", [1.0] * 40, CLUSTERS[:40])
    with opened(browser, build(tmp_path), ADDRESS.format("B")) as tab:
        assert (
            "full/seed0: 10 items (doc_id 40, 41, 42, ...) in only one of them"
            in tab.locator(".quiet").all_inner_texts()[0]
        )


def test_scores_from_elsewhere_have_no_answers_and_it_is_said(tmp_path: Path, browser: Any) -> None:
    for cell in fill(tmp_path).values():
        answer(tmp_path, cell, "B", [0.5] * ITEMS["B"], response=[""] * ITEMS["B"])
    with opened(browser, build(tmp_path), ADDRESS.format("B") + "&item=3") as tab:
        assert "The item files hold no answers" in tab.locator("#view-items").inner_text()
        assert tab.locator(".item-side-a").inner_text().count("50.0 %") == 2
        assert "(empty)" not in tab.locator("article").inner_text()


def test_hostile_texts_of_item_files_stay_texts(tmp_path: Path, browser: Any) -> None:
    hostile = ["<script>document.title = 'run'</script>", "a\0b", "\N{RIGHT-TO-LEFT OVERRIDE}txet", "</script>"]
    hostile += ["x" * 10**6, '["1']
    said = hostile + [""] * (ITEMS["A"] - len(hostile))
    for cell in fill(tmp_path).values():
        answer(tmp_path, cell, "A", [0.0] * len(said), question=said, gold=said, response=said)
    path = build(tmp_path)
    assert path.stat().st_size < 1_000_000
    for item, text in enumerate(hostile):
        with opened(browser, path, ADDRESS.format("A") + f"&seed=0&item={item}") as tab:
            shown = tab.locator("article pre").evaluate_all("all => all.map((one) => one.textContent)")
            assert all(one == text or one.startswith(text[: item_tables.LONGEST]) for one in shown)
            assert len(shown) == 4
            assert tab.title() != "run"
            if item == 4:
                assert shown[0].endswith("(980,000 more characters, which this page leaves out)")


def test_options_are_shown_with_what_each_model_gives_them(home: Path, browser: Any) -> None:
    root = home / "results/whole"
    rows = read_options(root)
    text, labels = rows["choices"]["text"], rows["choices"]["label"]
    with opened(browser, build(root), "#items?benchmark=A&a=random%2Bppl&b=full&item=1") as tab:
        cells = [row.locator("td").all_inner_texts() for row in tab.locator(".item-options tr").all()[1:]]
    right = labels.index(rows["answerKey"])
    assert [cell[0] for cell in cells] == [f"{'✓ ' if i == right else ''}{each}" for i, each in enumerate(text)]
    for column, cell in enumerate((PPL, "m/full/seed0"), 1):
        nats = json.loads(pq.read_table(root / layout.answers(cell, "A"))["response"][1].as_py())
        assert [float(row[column]) for row in cells] == pytest.approx(nats, abs=0.0051)


def read_options(root: Path) -> dict[str, Any]:
    lines = (root / layout.benchmark_items("A")).read_text().splitlines()
    row: dict[str, Any] = json.loads(lines[1])
    return row


def test_options_of_items_that_were_changed_since_are_not_shown(home: Path, browser: Any, tmp_path: Path) -> None:
    root = tmp_path / "whole"
    shutil.copytree(home / "results/whole", root, symlinks=True)
    with (root / layout.benchmark_items("A")).open("a") as file:
        file.write("\n")
    with opened(browser, build(root), "#items?benchmark=A&a=random%2Bppl&b=full&item=1") as tab:
        assert not tab.locator(".item-options").count()
        assert tab.locator(".item-side-a pre").inner_text().count("-") >= 2


def test_items_of_slim_files_are_shown_by_the_benchmarks_own_fields(home: Path, browser: Any, tmp_path: Path) -> None:
    root = tmp_path / "whole"
    shutil.copytree(home / "results/whole", root, symlinks=True)
    for path in root.glob("evaluation/**/T.parquet"):
        if path.parent.name != layout.EVALUATION_CACHE:
            files.write_parquet(path, pq.read_table(path).drop_columns(["question", "gold"]))
            edit_json(path.with_suffix(".json"), items_hash=files.sha256(path))
    row = json.loads((root / layout.benchmark_items("T")).read_text().splitlines()[1])
    with opened(browser, build(root), "#items?benchmark=T&a=random%2Bppl&b=full&item=1") as tab:
        assert "the benchmark's own items are shown instead" in tab.locator("#view-items").inner_text()
        assert f"question: {row['question']}" in tab.locator("article pre").first.inner_text()


def test_numbers_take_the_smallest_type() -> None:
    assert item_tables.narrow(np.array([0, 255])) == ("uint8", b"\0\xff")
    assert item_tables.narrow(np.array([1, 256])) == ("uint16", b"\x01\0\0\x01")
    assert item_tables.narrow(np.array([65536])) == ("uint32", b"\0\0\x01\0")
    assert item_tables.narrow(np.array([], int)) == ("uint8", b"")
