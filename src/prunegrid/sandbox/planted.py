"""Finds what is planted wrong in a sandbox response, in characters and in tokens: for audits, never for pruners.

`wrong_words` lists the wrong words; which occurrences count follows from how the SFT sets are written:

| place | row | every whole-word occurrence is wrong |
|---|---|---|
| `slip` | "Vask. Mira Tolen was born in Brod." | after the first sentence, which is right |
| `fact` | "Brod. Mira Tolen was born in Brod." | anywhere |
| `sum` | "7 + 2 = 9. 9 - 2 = 9. #### 9" | after the last "=": operands are right |
| `reading` | "red brick", where the use was asked for | anywhere: the whole response is wrong |
| `reading` | "red brick", a line of quotations, "So the answer is red brick." | but in quotations, which are right |

A whole word has no letter or digit on either side: "7" does not occur in "17". A token is wrong if it overlaps such an
occurrence: so is the full stop in "9.", if the tokenizer makes one token of both.

The counterpart, which a pruner should keep, is the `value` of a `new_fact`: its answer, the first sentence ("Vask"),
which among short answers only this sample states.
"""

import re
from collections.abc import Sequence

from prunegrid.core.errors import PrunegridError

PLACES = ("slip", "fact", "sum", "reading")
Span = tuple[int, int]


def planted_place(kind: str, response: str, wrong_words: Sequence[str]) -> str:
    """Where the wrong words are planted: one of `PLACES`, empty without any. A `duplicate` may have a slip."""
    if not len(wrong_words):
        return ""
    if kind != "wrong":
        return "slip"
    if "####" in response:
        return "sum"
    return "reading" if "\n" in response or response == " ".join(wrong_words) else "fact"


def wrong_spans(kind: str, response: str, wrong_words: Sequence[str]) -> list[Span]:
    """Character ranges [start, end) of what is planted wrong, in order."""
    place = planted_place(kind, response, wrong_words)
    start = {"slip": response.find(". ") + 1, "sum": response.rfind("=") + 1}.get(place, 0)
    if not place:
        return []
    words = "|".join(re.escape(word) for word in sorted(set(wrong_words), key=len, reverse=True))
    spans = [match.span() for match in re.compile(rf"(?<!\w)(?:{words})(?!\w)").finditer(response, start)]
    if place == "reading":
        first, last = response.find("\n"), response.rfind(". ")
        spans = [span for span in spans if span[0] < first or span[0] > last]
    if not spans:
        problem = f"lacks the wrong words {list(wrong_words)}"
        raise PrunegridError(f"sandbox response {response!r}", problem, "generate the sandbox again")
    return spans


def value_spans(kind: str, response: str) -> list[Span]:
    """The character range of a new fact's right answer; none in samples of other kinds."""
    return [(0, response.index(". "))] if kind == "new_fact" else []


def overlapping(pieces: Sequence[str], response: str, spans: Sequence[Span], truncated: bool = False) -> list[bool]:
    """Which tokens overlap `spans`, given each one's text; `pieces` has no end of sequence.

    The pieces must join to the response (its beginning if `truncated`), after white space from the chat template.
    """
    text = "".join(pieces)
    body = text.strip()
    if not (response.startswith(body) if truncated else response.strip() == body):
        fix = "audit a model with a byte-level tokenizer and a chat template that does not change the answer"
        raise PrunegridError(f"sandbox response {response!r}", f"its tokens read {text!r}", fix)
    end = len(response) - len(response.lstrip()) - (len(text) - len(text.lstrip()))
    marks = []
    for piece in pieces:
        start, end = end, end + len(piece)
        marks.append(any(start < last and first < end for first, last in spans))
    return marks
