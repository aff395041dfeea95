"""Code that the docs show and tests run."""

import re

from snake import ROOT


def example() -> str:
    """The pruner of one's own in docs/pruners.md: the first Python block of the section "Your own"."""
    section = (ROOT / "docs/pruners.md").read_text().partition("## Your own")[2]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block
    return block.group(1)
