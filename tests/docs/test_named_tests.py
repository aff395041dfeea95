"""Pages that promise something name the tests that hold it."""

import re

import pytest

from support.docs import named_tests
from support.snakemake_runs import ROOT

PAGES = sorted(page.name for page in (ROOT / "docs").glob("*.md") if named_tests(page.name))


def test_reliability_names_its_tests() -> None:
    assert "reliability.md" in PAGES


@pytest.mark.parametrize("page", PAGES)
def test_every_named_test_is_there(page: str) -> None:
    for file, function in named_tests(page):
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{function}"


def test_every_promise_has_a_test() -> None:
    table = (ROOT / "docs/reliability.md").read_text().partition("## Promises")[2].partition("\n\nFaults are")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 15
    assert [row for row in rows if "::test_" not in row] == []


def test_every_fault_test_is_a_promise() -> None:
    named = {function for _, function in named_tests("reliability.md")}
    for file in ("faults/test_matrix.py", "faults/test_file_edges.py", "faults/test_under_snakemake.py"):
        tests = set(re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / file).read_text(), re.MULTILINE))
        assert tests <= named, tests - named
