"""One self-contained page of several views: `page.html.j2`, the scripts of this room and what `vendor` holds.

The data of a view are JSON, gzipped, in base64: the view's script unpacks them when it is opened. Every script is
allowed by its SHA-256 alone (Content-Security-Policy), so text of data and models that gets into the page cannot run,
and the page can request nothing.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prunegrid.core import files

ROOM = Path(__file__).parent
TEMPLATES = FileSystemLoader([ROOM, ROOM.parent / "table"])
ENVIRONMENT = Environment(loader=TEMPLATES, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
LIBRARIES = {"tabulator": "tabulator.min.js", "vega": "vega-embed.bundle.js"}
STYLES = ["vendor/tabulator.min.css", "page.css", "items.css", "selections.css"]
NONE: Mapping[str, Any] = MappingProxyType({})


class View(NamedTuple):
    """One view of the page: its script `scripts/<name>.js` draws `data` (JSON) under the tab `title`.

    `blocks` are further data, `packed`, which the script asks for by name (`page.block`). `helpers` are scripts that
    it needs. `pages` are views that go to a page of their own, by its path relative to this page's folder.
    """

    name: str
    title: str
    data: Any
    blocks: Mapping[str, str] = NONE
    helpers: tuple[str, ...] = ()
    pages: Mapping[str, "View"] = NONE


def write(path: Path, title: str, views: Sequence[View], static: str = "") -> None:
    """Write the page, and those of its views' `pages`, which carry no library.

    `static` is HTML (already escaped) that is there without JavaScript, too.
    """
    for name, single in (page for view in views for page in view.pages.items()):
        files.write_text(path.parent / name, render(single.title, [single], libraries={}))
    files.write_text(path, render(title, views, static))


def render(title: str, views: Sequence[View], static: str = "", libraries: Mapping[str, str] = LIBRARIES) -> str:
    """The page's text; its first view opens first. `libraries`: those that it carries."""
    code = {name: (ROOM / "vendor" / file).read_text() for name, file in libraries.items()}
    names = dict.fromkeys(["page", *(name for view in views for name in (*view.helpers, view.name))])
    script = "\n".join((ROOM / "scripts" / f"{name}.js").read_text() for name in names)
    style = "\n".join((ROOM / name).read_text() for name in STYLES)
    blocks = {f"library-{name}": packed(text) for name, text in code.items()}
    for view in views:
        blocks[f"data-{view.name}"] = packed(json.dumps(view.data, allow_nan=False))
        blocks |= {f"data-{view.name}-{name}": block for name, block in view.blocks.items()}
    return ENVIRONMENT.get_template("page.html.j2").render(
        title=title,
        policy=policy([script, *code.values()]),
        style=style,
        script=script,
        blocks=blocks,
        views=[(view.name, view.title) for view in views],
        static=static,
    )


def policy(scripts: Sequence[str]) -> str:
    """The Content-Security-Policy under which these scripts run, and nothing else; no request of any kind."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    directives = ["default-src 'none'", f"script-src {hashes}", "style-src 'unsafe-inline'", "img-src data:"]
    return "; ".join([*directives, "base-uri 'none'", "form-action 'none'"])


def packed(content: str | bytes) -> str:
    """The content gzipped, in base64; the same bytes in every run."""
    raw = content.encode() if isinstance(content, str) else content
    return base64.b64encode(gzip.compress(raw, compresslevel=6, mtime=0)).decode()
