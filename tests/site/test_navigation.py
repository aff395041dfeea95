"""The site's navigation: every page has a place, and the order names no page that is gone."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from support.snakemake_runs import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed (make docs)")

import hooks
import repository

WRITTEN = [str(path.relative_to(ROOT)) for suffix in ("md", "ipynb") for path in (ROOT / "docs").rglob(f"*.{suffix}")]
PAGES = {*map(repository.site_path, [*WRITTEN, *hooks.PROJECT]), *hooks.GENERATED}


def places(pages: set[str]) -> list[str]:
    """The pages of the navigation, in order."""
    files: Any = SimpleNamespace(documentation_pages=lambda: [SimpleNamespace(src_uri=page) for page in pages])
    return list(leaves(list(hooks._navigation(files))))


def leaves(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        for inside in node.values() if isinstance(node, dict) else node:
            yield from leaves(inside)


def test_every_page_of_the_order_exists() -> None:
    listed = {f"{folder}/{name}.md" for folder, order in hooks.SECTIONS.values() for name in order}
    assert listed - PAGES == set()


def test_every_page_has_one_place_and_so_has_a_new_one() -> None:
    new = {"how-to/new-page.md", "explanation/new-page.md"}
    found = places(PAGES | new)
    assert sorted(found) == sorted({*found})
    assert {page for page in PAGES | new if page not in found and page.count("/") < 2} == set()
