"""`mike` publishes the site's versions, as docs.yml runs it: each in a folder, with a menu of the others."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.snakemake_runs import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.exhaustive,
    pytest.mark.skipif(not shutil.which("mike"), reason="mike is not installed (make docs)"),
]
SITE = "https://example.org/prunegrid/"


def test_a_version_is_deployed_beside_the_others(tmp_path: Path) -> None:
    run("git", "clone", "--quiet", str(ROOT), "clone", folder=tmp_path)
    clone = tmp_path / "clone"
    run("mike", "deploy", "--update-aliases", "0.2.0", "latest", folder=clone)
    run("mike", "set-default", "latest", folder=clone)
    published = tmp_path / "published"
    run("git", "worktree", "add", "--quiet", str(published), "gh-pages", folder=clone)
    assert json.loads((published / "versions.json").read_text())[0]["aliases"] == ["latest"]
    assert "latest/" in (published / "index.html").read_text()
    page, missing = ((published / "latest" / name).read_text() for name in ("reference/config.html", "404.html"))
    assert '"version": {"provider": "mike"}' in page
    assert f"{SITE}0.2.0/reference/config.html" in page
    assert 'src="/prunegrid/0.2.0/assets/iframe-worker.js"' in missing


def run(*command: str, folder: Path) -> None:
    names = {
        f"GIT_{role}_{part}": "nobody@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
    }
    environment = os.environ | names | {"NO_MKDOCS_2_WARNING": "1", "PRUNEGRID_SITE": SITE}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
