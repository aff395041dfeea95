"""The docs site: it builds strictly, has every key and command, requests nothing, and can be searched from a disk."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from support import browser
from support.snakemake_runs import ROOT

pytestmark = pytest.mark.skipif(not find_spec("mkdocs"), reason="mkdocs is not installed (make docs)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_reference_has_every_key_and_command(site: Path) -> None:
    import cli_page
    import config_page

    keys, commands = ((site / f"reference/{name}.html").read_text() for name in ("config", "cli"))
    assert [key for key in config_page.anchors() if f'id="{key}"' not in keys] == []
    assert [name for name in cli_page.commands() if f'id="{name}"' not in commands] == []


def test_no_page_loads_from_the_network(site: Path) -> None:
    loads = re.compile(r'<(?:script|img|iframe)\b[^>]* src="?(?:https?:)?//[^>]*|<link\b[^>]*stylesheet[^>]*//[^>]*')
    found = {page.name: loads.findall(page.read_text()) for page in site.rglob("*.html")}
    assert {name: tags for name, tags in found.items() if tags} == {}


@pytest.mark.skipif(browser.missing_requirement() is not None, reason=str(browser.missing_requirement()))
def test_search_works_from_a_disk_without_requests(site: Path) -> None:
    with browser.started() as program, browser.clean_page(program) as page:
        for name in ("reference/config.html", "reference/api/pruners.html", "index.html"):
            page.goto((site / name).as_uri())
        page.fill("input[name=query]", "learning_rate")
        page.wait_for_selector(".md-search-result__item a")
        assert "reference/config.html" in page.content()
