"""The frame of the page: its views' data arrive, hostile text stays text, nothing else runs or is requested."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid.report import page
from prunegrid.report.page import View
from support.browser import opened

TEXTS = [
    "<script>document.title = 'run'</script>",
    "<img src=x onerror=\"document.title = 'run'\">",
    "</script><b>bold</b>",
    "a\0b &amp; &lt;",
    "\N{RIGHT-TO-LEFT OVERRIDE}txet",
    "שלום " * 2000,
    "{{ 7 * 7 }} ${7 * 7} 'quoted' \"twice\"",
]


def write(folder: Path, static: str = "") -> Path:
    entries = [{"score": 12.25, "seeds": {}, "state": "done", "deltas": {}}] * 2
    names = ("model", "group", "budget", "variant", "label", "sample", "token", "baseline")
    rows = [dict.fromkeys(names, text) | {"kind": "pair", "entries": entries, "measures": []} for text in TEXTS]
    words = {"legend": TEXTS, "own": TEXTS[0], "folder": TEXTS[1], "statuses": {}, "compared": []}
    data = {"benchmarks": [TEXTS[1], "Avg"], "measures": [], "models": TEXTS, "rows": rows, **words}
    view = View("table", TEXTS[0], data)
    page.write(folder / "report.html", "".join(TEXTS[:3]), [view], static)
    return folder / "report.html"


def test_hostile_texts_are_shown_as_they_are(tmp_path: Path, browser: Any) -> None:
    with opened(browser, write(tmp_path)) as tab:
        shown = tab.locator(".tabulator-cell[tabulator-field=model]").all_text_contents()
        assert shown == TEXTS
        assert tab.title() == "".join(TEXTS[:3])


def test_a_script_that_gets_into_the_page_does_not_run(tmp_path: Path, browser: Any) -> None:
    path = write(tmp_path, "<script>document.title = 'run'</script>")
    with pytest.raises(AssertionError, match="Content Security Policy"), opened(browser, path) as tab:
        assert tab.title() != "run"


def test_without_javascript_the_static_part_stands(tmp_path: Path, browser: Any) -> None:
    path = write(tmp_path, "<p>the static table</p>")
    with opened(browser, path, java_script_enabled=False) as tab:
        assert tab.get_by_text("the static table").is_visible()
        assert not tab.locator("#tabs").is_visible()
