"""Links and anchors of Markdown pages, read as GitHub reads them; the site's hooks and the tests use it."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath
from posixpath import normpath

FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|~{3,}).*?^(?P=indent) {0,3}(?P=marks)[`~]*$", re.M | re.S)
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"(?P<open>\]\(\s*<?)(?P<target>[^\s()<>]+)(?P<close>>?(?:\s+\"[^\"]*\")?\s*\))")
HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t]*#*$", re.M)
NAMED = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)


def without_code(text: str) -> str:
    """The text with spaces in place of its code, so that every place keeps its number."""
    blank = re.compile(r"[^\n]")
    text = FENCE.sub(lambda match: blank.sub(" ", match[0]), text)
    return CODE_SPAN.sub(lambda match: blank.sub(" ", match[0]), text)


def targets(text: str) -> list[str]:
    """What the links and images of a page point to, addresses of the web included."""
    return [match["target"] for match in LINK.finditer(without_code(text))]


def slug(title: str, separator: str = "-") -> str:
    """GitHub's anchor of a heading whose markup is gone."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", separator)


def anchors(text: str) -> set[str]:
    """The anchors of a page: its headings', and those of `<a id="...">`."""
    seen: Counter[str] = Counter()
    found = set(NAMED.findall(text))
    prose = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    for _, title in HEADING.findall(prose):
        name = slug(_plain(title))
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def _plain(title: str) -> str:
    """A heading's text without links, code marks and emphasis."""
    title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"(?<!\w)(\*{1,2}|_{1,2})(\S.*?)\1(?!\w)", r"\2", title.replace("`", ""))


def is_local(target: str) -> bool:
    return not SCHEME.match(target) and not target.startswith("//")


def resolve(page: str, target: str) -> tuple[str, str]:
    """(file, anchor) that a link of `page` points to; paths from the repository's root."""
    path, _, anchor = target.partition("#")
    if not path:
        return page, anchor
    return normpath(str(PurePosixPath(page).parent / path)), anchor


def rewrite(text: str, change: Callable[[str], str]) -> str:
    """The text with every local link's target changed; code stays as it is."""
    parts, end = [], 0
    for match in LINK.finditer(without_code(text)):
        if is_local(match["target"]):
            parts += [text[end : match.start("target")], change(match["target"])]
            end = match.end("target")
    return "".join([*parts, text[end:]])
