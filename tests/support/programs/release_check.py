"""Whether this checkout can be released: one version everywhere, a clean tree, distributions of it in dist/.

    make release-check

The version is that of the newest section of CHANGELOG.md. Exit code 1 after a line for each problem.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECTION = re.compile(r"^## (\S+)(?: - (\S+))?$", re.MULTILINE)


def newest(changelog: str) -> tuple[str, str, str]:
    """Version and date of the newest release, and the text of `Unreleased`."""
    sections = list(SECTION.finditer(changelog))
    if len(sections) < 2 or sections[0][1] != "Unreleased":
        raise SystemExit("CHANGELOG.md: give it a section Unreleased and one for each release")
    return sections[1][1], sections[1][2] or "", changelog[sections[0].end() : sections[1].start()].strip()


def problems(root: Path) -> Iterator[str]:
    """A line for each thing that keeps `root` from being released."""
    version, date, unreleased = newest((root / "CHANGELOG.md").read_text())
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        yield f"CHANGELOG.md: {version} has no date; write `## {version} - YYYY-MM-DD`"
    if unreleased:
        yield f"CHANGELOG.md: Unreleased is not empty; move its lines to {version}, or add the next version"
    cited = re.findall(r"^version: *[\"']?([^\s\"']+)", (root / "CITATION.cff").read_text(), re.MULTILINE)
    if cited != [version]:
        yield f"CITATION.cff: version is {', '.join(cited)}, not {version}"
    if changes := git(root, "status", "--porcelain"):
        yield f"git: uncommitted changes: {len(changes.splitlines())} files"
    if f"v{version}" not in git(root, "tag", "--points-at", "HEAD").split():
        yield f"git: the commit has no tag v{version}; run `git tag -a v{version}`"
    suffixes = {f"prunegrid-{version}.tar.gz", f"prunegrid-{version}-py3-none-any.whl"}
    if (built := {file.name for file in (root / "dist").glob("*")}) != suffixes:
        yield f"dist/: has {', '.join(sorted(built)) or 'nothing'}, not {version}; run `make dist` on the tag"
    if numbers(next_release(root)) < numbers(version):
        yield f"pyproject.toml: fallback_version is older than {version}; name the next release, with .dev0"


def next_release(root: Path) -> str:
    """The version of a copy without git."""
    return re.findall(r'^fallback_version = "(.+?)"', (root / "pyproject.toml").read_text(), re.MULTILINE)[0]


def numbers(version: str) -> tuple[int, ...]:
    """Of a release; what follows them is left out."""
    return tuple(map(int, version.split(".")[:3]))


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def main() -> None:
    found = list(problems(ROOT))
    print("\n".join(found) or "ready: upload dist/* and push the tag")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
