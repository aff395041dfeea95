"""The table of `table.html` in Chromium; and that the fixture of such tests sees what a page must not do."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid.table import html
from support.browser import clean_page
from support.table_frames import cell, laid_out

EVIL = "<script>alert('&')</script>"


def test_html_opens_from_disk_and_shows_hostile_names_as_text(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "table.html"
    file.write_text(html.render(laid_out(cell(EVIL, 1, 2), title=EVIL)))
    with clean_page(browser) as page:
        page.goto(file.as_uri())
        assert page.locator("script").count() == 0
        assert EVIL in page.locator("table").inner_text() and EVIL in page.locator("body").inner_text()


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>console.error('odd')</script>", "odd"),
        ("<script>null.x</script>", "Cannot read properties of null"),
        ("<img src='http://prunegrid.invalid/a.png'>", "http://prunegrid.invalid/a.png"),
    ],
)
def test_clean_page_refuses_an_error_or_a_request(body: str, complaint: str, browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(f"<!DOCTYPE html><title>x</title>{body}")
    with pytest.raises(AssertionError) as refused, clean_page(browser) as page:
        page.goto(file.as_uri())
    assert complaint in str(refused.value)
