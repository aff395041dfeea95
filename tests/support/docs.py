"""Code that the docs show and tests run."""

import re

from support.snakemake_runs import ROOT


def example() -> str:
    """The pruner of one's own in docs/pruners.md: the first Python block of the section "Your own"."""
    section = (ROOT / "docs/pruners.md").read_text().partition("## Your own")[2]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block
    return block.group(1)


def named_tests(page: str) -> list[tuple[str, str]]:
    """(file, function) of every test that docs/<page> names as `tests/test_x.py::test_y`."""
    return re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs" / page).read_text())
