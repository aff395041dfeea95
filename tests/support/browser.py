"""Open pages in a real browser: Debian's Chromium, which playwright drives. No page may ask for anything but files."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1280, 900), "tablet": (820, 1100), "phone": (400, 800)}


def missing_requirement() -> str | None:
    """Why no page can be opened here; None if one can."""
    if not find_spec("playwright"):
        return "the package playwright is not installed (envs/requirements.txt)"
    if not program():
        return "there is no Chromium (Debian: apt install chromium)"
    return None


def program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def started() -> Iterator[Any]:
    """A playwright `Browser` without a window."""
    from playwright.sync_api import sync_playwright

    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []  # which Chromium refuses to have as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=sandbox)
        yield browser
        browser.close()


@contextmanager
def clean_page(browser: Any, **context: Any) -> Iterator[Any]:
    """A playwright `Page`, with `context` as in `Browser.new_context`: viewport, color_scheme, java_script_enabled.

    At the end it fails if the page has written an error, raised one, or asked for what is no file.
    """
    complaints: list[str] = []
    inside = browser.new_context(**context)
    page = inside.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if _is_local(request.url) else complaints.append(request.url))
    try:
        yield page
    except Exception as error:
        error.add_note("\n".join(complaints))
        raise
    inside.close()
    assert not complaints, "\n".join(complaints)


@contextmanager
def opened(browser: Any, file: Path, address: str = "", size: str = "desktop", **context: Any) -> Iterator[Any]:
    """The report page `file`, once the view of `address` (`#view?key=value`) is drawn; as `clean_page`."""
    width, height = SIZES[size]
    with clean_page(browser, viewport={"width": width, "height": height}, **context) as page:
        page.set_default_timeout(20_000)
        page.goto(file.as_uri() + address)
        if context.get("java_script_enabled", True):
            page.wait_for_selector("section[data-ready]:not([hidden])")
        yield page


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))
