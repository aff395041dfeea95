"""What is read from a generated answer, and how it is compared with the right one. Scores are in 0..1."""

import math
import re
import string
from collections import Counter
from collections.abc import Callable
from typing import Any

from prunegrid.core.errors import PrunegridError

NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?|-?\$?\.\d+")
LETTER = re.compile(r"\b([A-Z])\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)

Extraction = Callable[[str], str]


def score(doc: dict[str, Any], results: list[str], metric: str, extract: str) -> dict[str, float]:
    """The best value that the extracted answer has with one of the item's `gold` answers."""
    answer = extraction(extract)(results[0])
    return {metric: max(float(METRICS[metric](answer, gold)) for gold in doc["gold"])}


def extraction(name: str) -> Extraction:
    """The function of that name or, of a regular expression, its last match: its first group, or all of it."""
    if name in EXTRACTIONS:
        return EXTRACTIONS[name]
    known = ", ".join(EXTRACTIONS)
    if re.fullmatch(r"[\w ]*", name):  # it would find but itself
        raise PrunegridError("extract", f"there is no {name!r}", f"give one of {known}, or a regular expression")
    try:
        pattern = re.compile(name)
    except re.error as error:
        fix = f"give a regular expression, or one of {known}"
        raise PrunegridError("extract", f"{name!r} is not a regular expression ({error})", fix) from None
    return lambda text: _last(pattern, text)


def _last(pattern: re.Pattern[str], text: str) -> str:
    """The last match's first group, or all of it; nothing if there is none."""
    matches = list(pattern.finditer(text))
    return (matches[-1][1 if pattern.groups else 0] or "") if matches else ""


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[0] if match else ""


def _first_line(text: str) -> str:
    """The first line with text."""
    return text.strip().partition("\n")[0]


EXTRACTIONS: dict[str, Extraction] = {
    "all": str.strip,
    "first_line": _first_line,
    "first_number": lambda text: _first(NUMBER, text),
    "last_number": lambda text: _last(NUMBER, text),
    "first_letter": lambda text: _first(LETTER, text),
}


def number(text: str) -> float | None:
    """The number that a text is, with or without separators of thousands, a dollar sign, or a final full stop."""
    bare = text.strip().removesuffix(".")
    return float(re.sub(r"[$,]", "", bare)) if NUMBER.fullmatch(bare) else None


def words(text: str) -> list[str]:
    """The words that SQuAD's measures compare: lower case, without punctuation and articles (Rajpurkar et al. 2018)."""
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(PUNCTUATION)).split()


def exact_match(answer: str, gold: str) -> bool:
    """Whether both are equal, but for case, white space and a final full stop."""
    first, second = (" ".join(text.casefold().split()).removesuffix(".") for text in (answer, gold))
    return first == second


def same_number(answer: str, gold: str) -> bool:
    """Whether both are the same number, to 1 part in a million."""
    first, second = number(answer), number(gold)
    return first is not None and second is not None and math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-9)


def f1(answer: str, gold: str) -> float:
    """SQuAD's F1 of words; without words on a side, whether both have none."""
    first, second = words(answer), words(gold)
    if not first or not second:
        return float(first == second)
    return 2 * (Counter(first) & Counter(second)).total() / (len(first) + len(second))


def contains(answer: str, gold: str) -> bool:
    """Whether the words of the right answer follow one another in the answer; never, if it has none."""
    first, second = words(answer), words(gold)
    return bool(second) and f" {' '.join(second)} " in f" {' '.join(first)} "


METRICS: dict[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "number": same_number,
    "f1": f1,
    "contains": contains,
}
DEFAULT_EXTRACTIONS = {"exact_match": "all", "number": "last_number", "f1": "all", "contains": "all"}
