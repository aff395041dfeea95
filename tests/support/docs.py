"""What the docs show and tests hold: code, and the tests that pages name."""

import re

from support.snakemake_runs import ROOT

NOT_OWN = ("build", "dist", "results", "shared")  # folders that runs and builds fill


def example() -> str:
    """The pruner of docs/tutorials/own-pruner.md, `my_pruners.py`: its first Python block."""
    return code_blocks("docs/tutorials/own-pruner.md", "python")[0]


def code_blocks(page: str, language: str) -> list[str]:
    """The code blocks of this language on the page, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def pages() -> list[str]:
    """All pages, from the repository's root."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").glob("*.md")]
    return sorted(str(page.relative_to(ROOT)) for page in files)


def all_pages() -> list[str]:
    """Every Markdown file that belongs to the repository, from its root."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()]
    own = [path for path in folders if path.name not in NOT_OWN and (path.name[0] != "." or path.name == ".github")]
    inside = [page for folder in own for page in folder.rglob("*.md")]
    return sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *inside, ROOT / "results/README.md"])


def named_tests(page: str) -> list[tuple[str, str]]:
    """(file, function) of every test that the page names: `tests/x.py::test_y`, and `::test_z` of the same file.

    Where it names a file alone, there is no function.
    """
    actual, file = [], ""
    for path, function in re.findall(r"\b(tests/[\w/]+\.py)|::(test_\w+)", (ROOT / page).read_text()):
        file = path or file
        actual.append((file, function))
    return actual


def promises(page: str) -> list[str]:
    """The rows of the page's tables of promises, each with the tests that hold it."""
    _, *tables = (ROOT / page).read_text().split("\n| promise |")
    return [row for table in tables for row in table.partition("\n\n")[0].splitlines()[2:]]


def named_modules(page: str) -> set[str]:
    """The package's modules that the page names, as `room/module.py` or `prunegrid.room.module`, without the suffix."""
    text = (ROOT / page).read_text()
    rooms = "|".join(path.name for path in (ROOT / "src/prunegrid").iterdir() if (path / "__init__.py").exists())
    files = re.findall(rf"(?<![\w/])(?:(?:src/)?prunegrid/)?((?:{rooms})/[\w/]+)\.py\b", text)
    dotted = re.findall(rf"\bprunegrid\.((?:{rooms})\.[a-z_]+)\b", text)
    return {*files, *(name.replace(".", "/") for name in dotted)}
