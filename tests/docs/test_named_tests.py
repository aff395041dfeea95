"""Pages that promise something name the tests that hold it."""

import re

import pytest

from support.docs import named_modules, named_tests, pages, promises
from support.snakemake_runs import ROOT

PAGES = [page for page in pages() if named_tests(page)]
PROMISES = [page for page in pages() if promises(page)]


def test_pages_that_promise_name_tests() -> None:
    assert set(PROMISES) == {
        "docs/explanation/cost-model.md",
        "docs/explanation/reliability.md",
        "docs/reference/status.md",
    }
    assert {*PROMISES, "docs/explanation/security.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_named_test_is_there(page: str) -> None:
    for file, function in named_tests(page):
        text = (ROOT / file).read_text()
        assert not function or re.search(rf"^def {function}\(", text, re.MULTILINE), f"{file}::{function}"


@pytest.mark.parametrize("page", [page for page in pages() if named_modules(page)])
def test_every_named_module_exists(page: str) -> None:
    source = ROOT / "src/prunegrid"
    assert [name for name in named_modules(page) if not (source / f"{name}.py").exists()] == []


@pytest.mark.parametrize("page", PROMISES)
def test_every_promise_has_a_test(page: str) -> None:
    rows = promises(page)
    assert len(rows) > 5
    assert [row for row in rows if "::test_" not in row] == []


def test_every_fault_test_is_a_promise() -> None:
    named = {function for _, function in named_tests("docs/explanation/reliability.md")}
    for file in (ROOT / "tests/faults").glob("test_*.py"):
        tests = set(re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE))
        assert tests and tests <= named, tests - named
