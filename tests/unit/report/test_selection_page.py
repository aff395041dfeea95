"""The page of a selection alone, `prunegrid report PRUNED`: its counts, its origin, its samples."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import prunegrid as pg
from prunegrid.cli import main
from prunegrid.core import files
from prunegrid.core.parts import find_table, read_parts
from prunegrid.experiment import layout
from prunegrid.report import selection_page
from support.browser import opened
from support.errors import refused
from support.tiny_llama import write_tiny_model

HOSTILE = "</script><script>document.title = 'run'</script> שלום 猫\N{PARTY POPPER}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`scores` of 20 rows of one's own, and `pruned`: half of the samples and of the tokens."""
    home = tmp_path_factory.mktemp("own")
    rows = [
        {"prompt": f"What is {i}? {HOSTILE}", "response": f"It is {HOSTILE} {i}. " * (1 + i % 3)} for i in range(20)
    ]
    (home / "data.json").write_text(json.dumps(rows))
    scores = pg.score(home / "data.json", write_tiny_model(home / "model"), home / "scores", max_length=600)
    pg.prune(scores, "loss+ppl", samples=0.5, tokens=0.5, seed=3, out=home / "pruned")
    return home


def selection(folder: Path) -> Any:
    return read_parts(find_table(folder / layout.SELECTION)).to_pandas().set_index("sample_id")


def check_page(path: Path, folder: Path, browser: Any) -> None:
    """Its counts are those of `selection.json`, its dots and struck tokens those of `selection.parquet`."""
    summary, rows = files.read_json(folder / layout.SUMMARY), selection(folder)
    with opened(browser, path) as tab:
        text = tab.locator("#view-selection").text_content()
        assert f"{len(rows)} of {summary['n_samples']} kept" in text and f"{summary['kept_tokens']} kept" in text
        assert all(digest in text for digest in summary["digests"].values()) and summary["version"] in text
        tab.locator("#tab-plane").click()
        tab.wait_for_selector("#view-plane[data-ready]")
        assert tab.locator(".plane").get_attribute("data-dots") == str(summary["n_samples"])
        sample = int(rows.index[1])
        tab.evaluate(f"location.hash = '#sample?id={sample}'")
        tab.get_by_role("heading", name=f"Sample {sample}", exact=True).wait_for()
        assert f"keeps {len(rows['kept'][sample])} of " in tab.locator("#sample-verdict").text_content()
        assert HOSTILE in tab.locator("pre.prompt").text_content()
        assert HOSTILE in tab.locator("pre.answer").text_content()


def test_page_of_a_selection_has_its_numbers(home: Path, browser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", str(home / "pruned")])
    assert capsys.readouterr().out.strip() == str(home / "pruned/report.html")
    check_page(home / "pruned/report.html", home / "pruned", browser)
    assert len(pg.Selection.open(home / "pruned")) == 10  # the page harms nothing


def test_page_of_what_keep_wrote_is_that_of_its_selection(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", str(home), "--out", str(home / "page.html")])
    assert capsys.readouterr().out.strip() == str(home / "page.html")
    assert "It is " not in (home / "page.html").read_text()  # texts of data are packed


def test_page_of_a_selection_in_parts_has_its_numbers(home: Path, tmp_path: Path, browser: Any) -> None:
    ratios = ["--samples", "0.5", "--tokens", "0.5"]
    cut = tmp_path / "cut"
    main(["choose", "--scores", str(home / "scores"), "--pair", "loss+ppl", *ratios, "--out", str(cut)])
    for part in ("1/2", "2/2"):
        main(["cut", str(cut), "--shard", part])
    check_page(selection_page.build(cut), cut, browser)


def test_page_without_scores_says_what_is_missing(home: Path, tmp_path: Path, browser: Any) -> None:
    folder = shutil.copytree(home / "pruned", tmp_path / "pruned")
    with opened(browser, selection_page.build(folder)) as tab:
        text = tab.locator("#view-selection").text_content()
        assert "No samples to show:" in text and "holds no samples.parquet" in text
        assert tab.locator("nav a").all_text_contents() == ["Selection"]
    moved = selection_page.build(folder, tmp_path / "page.html", home / "scores")
    check_page(moved, folder, browser)


def test_page_without_javascript_has_counts_and_origin(home: Path, browser: Any) -> None:
    path = selection_page.build(home / "pruned", home / "static.html")
    with opened(browser, path, java_script_enabled=False) as tab:
        assert tab.get_by_text("10 of 20 kept").is_visible()


def test_changed_selection_is_refused(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home / "pruned", tmp_path / "pruned")
    table = files.read_parquet(folder / layout.SELECTION)
    files.write_parquet(folder / layout.SELECTION, table.slice(1))
    with refused(folder / layout.SELECTION, "SHA-256", fix="prune again"):
        selection_page.build(folder, home / "never.html")
    assert not (home / "never.html").exists()
