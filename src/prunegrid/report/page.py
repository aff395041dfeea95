"""One self-contained page of several views: `page.html.j2`, the scripts of this room and what `vendor` holds.

The data of a view are JSON, gzipped, in base64: the view's script unpacks them when it is opened. Every script is
allowed by its SHA-256 alone (Content-Security-Policy), so text of data and models that gets into the page cannot run,
and the page can request nothing.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prunegrid.core import files

ROOM = Path(__file__).parent
TEMPLATES = FileSystemLoader([ROOM, ROOM.parent / "table"])
ENVIRONMENT = Environment(loader=TEMPLATES, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
LIBRARIES = {"tabulator": "tabulator.min.js", "vega": "vega-embed.bundle.js"}
STYLES = ["vendor/tabulator.min.css", "page.css"]


class View(NamedTuple):
    """One view of the page: its script `scripts/<name>.js` draws `data` (JSON) under the tab `title`."""

    name: str
    title: str
    data: Any


def write(path: Path, title: str, views: Sequence[View], static: str = "") -> None:
    """Write the page. `static` is HTML (already escaped) that is there without JavaScript, too."""
    files.write_text(path, render(title, views, static))


def render(title: str, views: Sequence[View], static: str = "") -> str:
    """The page's text; its first view opens first."""
    libraries = {name: (ROOM / "vendor" / file).read_text() for name, file in LIBRARIES.items()}
    names = ["page", *(view.name for view in views)]
    script = "\n".join((ROOM / "scripts" / f"{name}.js").read_text() for name in names)
    style = "\n".join((ROOM / name).read_text() for name in STYLES)
    blocks = {f"library-{name}": packed(code) for name, code in libraries.items()}
    blocks |= {f"data-{view.name}": packed(json.dumps(view.data, allow_nan=False)) for view in views}
    return ENVIRONMENT.get_template("page.html.j2").render(
        title=title,
        policy=policy([script, *libraries.values()]),
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


def packed(text: str) -> str:
    """The text gzipped, in base64; the same bytes in every run."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
