"""The site's hooks: pages that are generated, links that leave `docs`, navigation by folder, and search from a disk."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import api_pages
import cli_page
import config_page
import markdown_links
import repository
from prunegrid import __version__

SECTIONS = {
    "Tutorials": ("tutorials", ["sandbox", "own-data", "own-pruner", "notebook", "slurm"]),
    "How-to": (
        "how-to",
        [
            *("install", "choose-a-pruner", "compare-selections", "import-scores", "export", "find-benchmark-items"),
            *("run-an-experiment", "plan"),
        ],
    ),
    "Reference": ("reference", ["config", "cli", "python", "files", "data", "pruners", "selectors", "evaluation"]),
    "Explanation": ("explanation", ["architecture", "working-copy", "scoring", "training", "trust"]),
    "Results": ("results", []),
    "Project": (repository.FOLDER, ["CHANGELOG", "CONTRIBUTING"]),
}
PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md")
ASSETS = ("iframe-worker.js", "site.css")
SHIM = "https://unpkg.com/iframe-worker/shim"  # Material's address of what it searches from file:// with
GENERATED = {"reference/config.md": config_page.page, "reference/cli.md": cli_page.page}
ORIGINS: dict[str, str] = {}  # the repository's file that a page shows, where that is not in docs


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.site_name = f"{config.site_name} {__version__}"
    config.mdx_configs["toc"]["slugify"] = markdown_links.slug
    if "MIKE_DOCS_VERSION" in os.environ:  # `mike deploy` builds this
        config.extra["version"] = {"provider": "mike"}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated, and say the order of the navigation."""
    pages = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for source in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = f"docs/{source.src_uri}"
        files.append(_generated(config, repository.site_path(path), repository.page_text(path)))
    ORIGINS.update(repository.shown_files([*pages, *PROJECT]))
    texts = {name: repository.page_text(path) for name, path in ORIGINS.items()}
    texts |= {name: page() for name, page in GENERATED.items()} | api_pages.pages()
    for name, text in texts.items():
        if stub := files.get_file_from_path(name):  # what GitHub shows
            files.remove(stub)
        files.append(_generated(config, name, text))
    for name in ASSETS:
        files.append(_generated(config, f"assets/{name}", (Path(__file__).parent / name).read_text(encoding="utf-8")))
    config.nav = list(_navigation(files))
    return files


def _generated(config: MkDocsConfig, name: str, text: str) -> File:
    return File.generated(config, name, content=text)


def _navigation(files: Files) -> Iterator[Any]:
    """Home, then each folder with its index, the pages of its order, and the others by name."""
    names = sorted(file.src_uri for file in files.documentation_pages())
    yield {"Home": "index.md"}
    for title, (folder, order) in SECTIONS.items():
        first = [f"{folder}/{name}.md" for name in ("index", *order)]
        others = [name for name in names if re.fullmatch(rf"{folder}/[^/]+\.md", name) and name not in first]
        inside: list[Any] = [name for name in first if name in names] + (others if folder != repository.FOLDER else [])
        if folder == "reference":
            inside.append({"Python interface": [name for name in names if name.startswith("reference/api/")]})
        if inside:
            yield {title: inside}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links lead to where the site has a file; lists begin as on GitHub; a diagram is text."""
    name = page.file.src_uri
    markdown, _ = repository.with_site_links(markdown, ORIGINS.get(name, f"docs/{name}"), name)
    return _with_lists(_with_diagrams(markdown))


def _with_lists(text: str) -> str:
    """A blank line before a list that follows a paragraph, without which Python-Markdown sees no list."""
    prose = markdown_links.without_code(text).splitlines()
    lines = []
    for number, line in enumerate(text.splitlines()):
        before = prose[number - 1] if number else ""
        starts = re.match(r"([-*+]|1\.) ", prose[number])
        if starts and before.strip() and not re.match(r" |([-*+]|\d+\.) ", before):
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _with_diagrams(text: str) -> str:
    """A flow chart as lines with arrows: Material would load Mermaid from a server."""

    def lines(match: re.Match[str]) -> str:
        arrows = re.sub(r"\w+\[([^\]]*)\]", r"\1", match[1]).replace("-->", "→")
        return "```text\n" + re.sub(r"^ +", "", arrows, flags=re.M) + "```"

    return re.sub(r"^```mermaid\nflowchart \w+\n(.*?)```", lines, text, flags=re.M | re.S)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    depth = page.file.dest_uri.count("/")
    return output.replace(SHIM, "../" * depth + "assets/iframe-worker.js")


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    folder = urlsplit(config.site_url or "").path.rstrip("/")  # 404.html is shown at any depth
    return output_content.replace(SHIM, f"{folder}/assets/iframe-worker.js")
