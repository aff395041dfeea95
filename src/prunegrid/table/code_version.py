"""The code behind a table: its commit, and each file of code that the commit does not hold.

Such a file is changed or untracked: a task, a module of the package, a rule, a pruner of your own. Its SHA-256 is the
only record of the version that made the numbers.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import prunegrid
from prunegrid.core import files

PACKAGE = Path(prunegrid.__file__).parent
WORKFLOW = ("Snakefile", "workflow")
SHOWN = 5
DIGITS = 12


def code_version(pruner_files: Iterable[Path] = (), package: Path = PACKAGE) -> str:
    """The commit that `package` is checked out from, and the digests of `uncommitted` code."""
    commit = _git(package, "rev-parse", f"--short={DIGITS}", "HEAD").strip()
    if not commit or not _git(package, "ls-files", "__init__.py"):  # a virtual environment inside another checkout
        return "no git checkout"
    changes = [f"{path} ({digest[:DIGITS]})" for path, digest in uncommitted(pruner_files, package).items()]
    if not changes:
        return f"commit {commit}"
    rest = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return f"commit {commit}, with local changes: {', '.join(changes[:SHOWN])}{rest}"


def uncommitted(pruner_files: Iterable[Path] = (), package: Path = PACKAGE) -> dict[str, str]:
    """SHA-256 (or "deleted") by path of the package's, the workflow's and the pruners' files that HEAD does not hold.

    Files that git ignores count only as `pruner_files`: those were imported.
    """
    root = Path(_git(package, "rev-parse", "--show-toplevel").strip())
    imported = [file for file in (path.resolve() for path in pruner_files) if file.is_relative_to(root)]
    paths = [package, *(root / name for name in WORKFLOW), *imported]
    status = _git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *paths)
    changed = {entry[3:] for entry in status.split("\0") if entry}
    ignored = {str(file.relative_to(root)) for file in imported} - set(_git(root, "ls-files", "-z").split("\0"))
    return {name: _digest(root / name) for name in sorted(changed | ignored)}


def _digest(path: Path) -> str:
    return files.sha256sum(path) if path.is_file() else "deleted"


def _git(folder: Path, *arguments: str | Path) -> str:
    """What git prints; "" without git, outside of a checkout, and where a file system's owner is refused."""
    try:
        run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return run.stdout if run.returncode == 0 else ""
