"""What the task YAML here calls: which items are asked, and the measures of OpenCompass, written anew.

Measures are in 0..1. OpenCompass: https://github.com/open-compass/opencompass; each YAML names the files.
"""

import re
from typing import Any

IMPOSSIBLE = "impossible to answer"


def four_choices(doc: dict[str, Any]) -> bool:
    """Whether the item has exactly four options."""
    return len(doc["choices"]["text"]) == 4


def normalise(text: str) -> str:
    """Up to the first newline, full stop or comma, without punctuation and articles, in single spaces."""
    first = re.split(r"[\n.,]", text, maxsplit=1)[0]
    words = re.sub(r"\b(?:a|an|the)\b", "", re.sub(r"[^\w\s]", "", first), flags=re.IGNORECASE)
    return " ".join(words.split())


def last_number(text: str) -> str | None:
    """The last number before a next question, sign and decimals included; a comma ends a number."""
    found = re.findall(r"-?\d+(?:\.\d+)?", text.partition("Question:")[0])
    return found[-1] if found else None


def gsm8k_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the last number is the gold one; `accuracy_commas` reads 1,200 as one number."""
    gold = float(doc["answer"].rpartition("#### ")[2].replace(",", ""))

    def right(text: str) -> float:
        number = last_number(text)
        return float(number is not None and abs(float(number) - gold) < 1e-6)

    joined = re.sub(r"(?<=\d),(?=\d{3})", "", results[0])
    return {"accuracy": right(results[0]), "accuracy_commas": right(joined)}


def squad_answer(text: str) -> str:
    """What counts of a generated answer: the first line, behind "answer is"."""
    return normalise(text.split("\n")[0].lower().split("answer is")[-1])


def squad_golds(doc: dict[str, Any]) -> list[str]:
    """The answers; of an unanswerable question the plausible ones, where the data has them, and `IMPOSSIBLE`."""
    return doc["answers"]["text"] or [*doc.get("plausible_answers", {}).get("text", []), IMPOSSIBLE]


def squad_target(doc: dict[str, Any]) -> str:
    """The first gold answer: what lm-eval logs and hashes as the target."""
    return squad_golds(doc)[0]


def squad_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the answer is a gold one, also under the item's kind (HasAns or NoAns)."""
    right = float(squad_answer(results[0]) in [normalise(gold).lower() for gold in squad_golds(doc)])
    kind = "HasAns" if doc["answers"]["text"] else "NoAns"
    return {"exact": right, f"{kind}_exact": right}


def trivia_answer(text: str) -> str:
    """What counts of a generated answer: the first line with text, behind "answer is", "a:" and "answer:"."""
    line = text.strip().split("\n")[0].lower()
    for lead in ("answer is", "a:", "answer:"):
        line = line.split(lead)[-1]
    return normalise(line.strip())


def trivia_aliases(doc: dict[str, Any]) -> list[str]:
    """The aliases, and the answer's value where it is not among them."""
    value: str = doc["answer"]["value"]
    aliases: list[str] = doc["answer"]["aliases"]
    return aliases if value in aliases else [*aliases, value]


def trivia_target(doc: dict[str, Any]) -> str:
    """The answer's value: what lm-eval logs and hashes as the target."""
    return str(doc["answer"]["value"])


def trivia_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether an alias is in the answer, one that is not empty is, or one equals it."""
    answer = trivia_answer(results[0])
    aliases = [normalise(alias).lower() for alias in trivia_aliases(doc)]
    return {
        "contains": float(any(alias in answer for alias in aliases)),
        "contains_some": float(any(alias in answer for alias in aliases if alias)),
        "exact": float(answer in aliases),
    }
