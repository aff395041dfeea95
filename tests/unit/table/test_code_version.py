"""Which code made a table, in real git checkouts."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from prunegrid.table.code_version import code_version, uncommitted

TASK = "src/prunegrid/tasks/mine.yaml"
IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.org"]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(file: Path, text: str = "x = 1\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a package, a workflow, notes and ignored results."""
    for name in ("src/prunegrid/__init__.py", "src/prunegrid/tasks/utils.py", "workflow/scripts/train.py", "notes.txt"):
        write(tmp_path / name)
    write(tmp_path / ".gitignore", "results/\n__pycache__/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, *IDENTITY, "commit", "--quiet", "--message", "first")
    return tmp_path


@pytest.fixture
def package(root: Path) -> Path:
    return root / "src/prunegrid"


def test_code_version_of_a_clean_checkout_is_its_commit(root: Path, package: Path) -> None:
    write(root / "notes.txt", "changed: no code")
    write(package / "__pycache__/utils.pyc")
    assert code_version(package=package) == f"commit {git(root, 'rev-parse', '--short=12', 'HEAD')}"


@pytest.mark.parametrize("name", [TASK, "src/prunegrid/a b.py", "workflow/rules/new.smk", "workflow/scripts/train.py"])
def test_code_version_names_an_uncommitted_file_with_its_digest(root: Path, package: Path, name: str) -> None:
    file = write(root / name, "new\n")
    assert uncommitted(package=package) == {name: sha256(file)}
    assert code_version(package=package).endswith(f", with local changes: {name} ({sha256(file)[:12]})")


def test_uncommitted_names_a_deleted_file(package: Path) -> None:
    (package / "tasks/utils.py").unlink()
    assert uncommitted(package=package) == {"src/prunegrid/tasks/utils.py": "deleted"}


def test_code_version_names_five_files_and_counts_the_rest(package: Path) -> None:
    for number in range(7):
        write(package / f"new{number}.py")
    version = code_version(package=package)
    assert "new4.py" in version and "new5.py" not in version
    assert version.endswith(" and 2 more")


@pytest.mark.parametrize("name", ["my_pruners.py", "results/my_pruners.py"], ids=["untracked", "ignored"])
def test_uncommitted_names_a_pruner_that_was_used(root: Path, package: Path, name: str) -> None:
    file = write(root / name)
    assert uncommitted(package=package) == {}
    assert uncommitted([file], package) == {name: sha256(file)}


def test_uncommitted_omits_committed_and_external_pruners(
    root: Path, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = write(tmp_path_factory.mktemp("elsewhere") / "my_pruners.py")
    assert uncommitted([package / "tasks/utils.py", elsewhere], package) == {}


def test_code_version_without_a_checkout_of_the_package(tmp_path: Path, root: Path) -> None:
    installed = root / "results/lib/prunegrid"
    write(installed / "__init__.py")
    assert code_version(package=installed) == "no git checkout"


def test_code_version_without_git(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert code_version(package=package) == "no git checkout"
