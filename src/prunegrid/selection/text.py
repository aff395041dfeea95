"""Kept samples as text: the prompt, and the response with its dropped tokens marked, for a terminal or a file."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

Decode = Callable[[list[int]], str]
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # how tokenizers decode a part of a character
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Style(NamedTuple):
    """What stands before and behind a prompt, and a stretch of dropped text, on each of its lines."""

    prompt: tuple[str, str]
    dropped: tuple[str, str]


TERMINAL = Style(prompt=("\x1b[2m", "\x1b[0m"), dropped=("\x1b[9;31m", "\x1b[0m"))
PLAIN = Style(prompt=("", ""), dropped=("[-", "-]"))


def pieces(decode: Decode, ids: Sequence[int], start: int = 0) -> Iterator[tuple[str, int]]:
    """The text of the tokens from `start` on, in pieces with their numbers of tokens; no piece ends in a character.

    A token's text may depend on the one before it (a space), so each piece is decoded behind the one before it.
    """
    context, done = max(0, start - 8), start
    for end in range(start + 1, len(ids) + 1):
        known, text = decode(list(ids[context:done])), decode(list(ids[context:end]))
        if end < len(ids) and (text.endswith(INCOMPLETE) or len(text) <= len(known)):
            continue
        yield text[len(known) :], end - done
        context, done = done, end


def marked_text(decode: Decode, prompt: list[int], response: list[int], kept: Sequence[int], style: Style) -> str:
    """The prompt and the response. A character of which a token is dropped counts as dropped."""
    text = _styled(decode(prompt), style.prompt)
    positions, place = set(kept), 0
    parts: list[tuple[bool, str]] = []
    for piece, count in pieces(decode, [*prompt, *response], len(prompt)):
        parts.append((positions.issuperset(range(place, place + count)), piece))
        place += count
    for is_kept, group in groupby(parts, key=lambda part: part[0]):
        stretch = "".join(piece for _, piece in group)
        text += _visible(stretch) if is_kept else _styled(stretch, style.dropped)
    return text


def _styled(text: str, marks: tuple[str, str]) -> str:
    """The text with marks on each line: pagers forget a style at a line's end."""
    opening, closing = marks
    return "\n".join(f"{opening}{line}{closing}" if line else "" for line in _visible(text).split("\n"))


def _visible(text: str) -> str:
    """Control characters as escapes: data must not command the terminal."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
