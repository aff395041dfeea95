"""Every link of every page leads somewhere: to a file of the repository, and to a heading or an anchor there."""

import pytest

import cli_page
import config_page
import markdown_links
from support.docs import all_pages
from support.snakemake_runs import ROOT


def broken_links(page: str) -> list[str]:
    return [target for target in markdown_links.targets((ROOT / page).read_text()) if not leads(page, target)]


def leads(page: str, target: str) -> bool:
    if not markdown_links.is_local(target):
        return True
    file, anchor = markdown_links.resolve(page, target)
    path = ROOT / file
    if not path.exists():
        return False
    if not anchor or path.suffix != ".md":
        return True
    return anchor in {*markdown_links.anchors(path.read_text()), *generated_anchors(file)}


def generated_anchors(file: str) -> list[str]:
    """Those that a page has on the site only."""
    if file == "docs/reference/config.md":
        return config_page.anchors()
    return [*cli_page.commands()] if file == "docs/reference/cli.md" else []


@pytest.mark.parametrize("page", all_pages())
def test_every_link_leads_somewhere(page: str) -> None:
    assert broken_links(page) == []


def test_anchors_are_those_of_github() -> None:
    page = """# A title: `code_name`, *soft* & more!
## Twice
```sh
# no heading
```
## Twice
## [Linked](x.md) text
<a id="own"></a>
"""
    known = {"a-title-code_name-soft--more", "twice", "twice-1", "linked-text", "own"}
    assert markdown_links.anchors(page) == known


def test_links_in_code_are_no_links() -> None:
    text = 'See [a](x.md "title"), `[b](y.md)`, ![c](<z.png>) and\n```\n[d](w.md)\n```\n'
    assert markdown_links.targets(text) == ["x.md", "z.png"]


def test_links_are_found_broken() -> None:
    assert leads("README.md", "CONTRIBUTING.md#rules")
    assert not leads("README.md", "CONTRIBUTING.md#no-such-heading")
    assert not leads("docs/index.md", "no-such-page.md")
