"""Where a file of the repository is on the site. Files outside `docs` that pages link to become pages of their own."""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from posixpath import relpath

import markdown_links

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "repository"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".sh": "sh"}


def site_path(file: str) -> str:
    """The page (or image) that shows a file, or lists a folder, of the repository; paths from the two roots."""
    path = PurePosixPath(file)
    if path.parts[0] == "docs":
        inside = path.relative_to("docs")
        return str(inside.with_suffix(".md") if path.suffix == ".ipynb" else inside)
    if (ROOT / file).is_dir():
        return site_path(str(path / "README.md")) if (ROOT / file / "README.md").exists() else _shown(path / "index")
    return f"{FOLDER}/{path}" if path.suffix == ".md" else _shown(path)


def _shown(path: PurePosixPath) -> str:
    """mkdocs leaves out what begins with a dot."""
    return "/".join([FOLDER, *(part.lstrip(".") for part in path.parts)]) + ".md"


def page_text(file: str) -> str:
    """The page that shows a file or folder, as Markdown: a page as it is, other text as code."""
    path = ROOT / file
    if path.is_dir():
        names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir() if entry.name[0] not in "._")
        return f"# {file}/\n\n" + "".join(f"- `{name}`\n" for name in names)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    if path.suffix == ".ipynb":
        return notebook_text(text)
    return f"# {file}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n````\n"


def notebook_text(text: str) -> str:
    """A notebook's cells as Markdown."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"]).strip()
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"


def with_site_links(text: str, file: str, page: str) -> tuple[str, list[str]]:
    """The text of a repository's `file` as the site's `page`, and the files that it links to."""
    linked = []

    def change(target: str) -> str:
        path, anchor = markdown_links.resolve(file, target)
        if target.startswith("#") or not (ROOT / path).exists():
            return target
        linked.append(path)
        mark = f"#{anchor}" if anchor else ""
        return relpath(site_path(path), str(PurePosixPath(page).parent)) + mark

    return markdown_links.rewrite(text, change), linked


def shown_files(pages: Iterable[str]) -> dict[str, str]:
    """The site's pages for files outside `docs`: for these pages, what they link to, and what that links to in turn."""
    shown: dict[str, str] = {}
    waiting = list(pages)
    while waiting:
        file = waiting.pop(0)
        page = site_path(file)
        if not file.startswith("docs/"):
            if page in shown:
                continue
            file = shown[page] = f"{file}/README.md" if page.endswith("/README.md") and file[-3:] != ".md" else file
        if file.endswith(".md"):
            _, linked = with_site_links((ROOT / file).read_text(encoding="utf-8"), file, page)
            waiting += [other for other in linked if not other.startswith("docs/")]
    return shown
