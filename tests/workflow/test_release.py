"""`make release-check`, and the version that a tag gives."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import release_check
from support.snakemake_runs import ROOT

CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n\n- A line.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the release 0.2.0, tagged and built."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("pyproject.toml", ".gitignore", ".gitattributes", ".git_archival.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    (folder / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 0.2.0\n")
    git(folder, "init", "--quiet")
    commit(folder)
    git(folder, "tag", "v0.2.0")
    (folder / "dist").mkdir()
    for name in ("prunegrid-0.2.0.tar.gz", "prunegrid-0.2.0-py3-none-any.whl"):
        (folder / "dist" / name).write_text("")
    return folder


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "A change", "--allow-empty")


def version(folder: Path) -> str:
    line = [sys.executable, "-m", "setuptools_scm"]
    return subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def wrong(folder: Path) -> list[str]:
    return [line.partition(":")[0] for line in release_check.problems(folder)]


def test_release_that_is_complete_has_no_problem(checkout: Path) -> None:
    assert wrong(checkout) == []


def test_release_names_all_that_is_missing(checkout: Path) -> None:
    text = CHANGELOG.replace("0.2.0 - 2026-12-01", "0.3.0").replace("Unreleased\n", "Unreleased\n\n- A line.\n")
    (checkout / "CHANGELOG.md").write_text(text)
    assert wrong(checkout) == ["CHANGELOG.md", "CHANGELOG.md", "CITATION.cff", "git", "git", "dist/", "pyproject.toml"]


def test_version_is_that_of_the_tag(checkout: Path) -> None:
    assert version(checkout) == "0.2.0"
    commit(checkout)
    assert version(checkout).startswith("0.2.1.dev1+g")


def test_version_of_an_archive_is_that_of_the_tag(checkout: Path, tmp_path: Path) -> None:
    archive, folder = tmp_path / "archive.tar", tmp_path / "unpacked"
    git(checkout, "archive", "--output", str(archive), "HEAD")
    shutil.unpack_archive(archive, folder)
    assert version(folder) == "0.2.0"


def test_version_without_git_is_the_next_release(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert version(checkout) == release_check.next_release(checkout)
