"""What the task YAML here calls: SQuAD v2's measures and TriviaQA's accepted answers. Scores are in 0..1.

SQuAD's normalisation, exact match and F1 follow the official evaluation script (Rajpurkar et al. 2018).
"""

import re
import string
from collections import Counter
from typing import Any

NO_ANSWER = ("", "unanswerable")
DROP_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    bare = text.lower().translate(DROP_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def words(answer: str) -> list[str]:
    """The normalised words of an answer; none where it says that there is no answer."""
    normal = normalise(answer)
    return [] if normal in NO_ANSWER else normal.split()


def f1(predicted: list[str], gold: list[str]) -> float:
    """Harmonic mean of word precision and recall; with no words on a side, whether both have none."""
    if not predicted or not gold:
        return float(predicted == gold)
    common = (Counter(predicted) & Counter(gold)).total()
    return 2 * common / (len(predicted) + len(gold))


def squad_target(doc: dict[str, Any]) -> str:
    """The first gold answer: what lm-eval logs and hashes as the target."""
    golds: list[str] = doc["answers"]["text"] or ["unanswerable"]
    return golds[0]


def squad_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Best exact match and F1 over the gold answers, also under the item's kind (HasAns or NoAns)."""
    golds = [words(text) for text in doc["answers"]["text"] if normalise(text)]
    predicted = words(results[0])
    kind = "HasAns" if golds else "NoAns"
    exact = max(float(predicted == gold) for gold in golds or [[]])
    best_f1 = max(f1(predicted, gold) for gold in golds or [[]])
    return {"exact": exact, "f1": best_f1, f"{kind}_exact": exact, f"{kind}_f1": best_f1}


def trivia_targets(doc: dict[str, Any]) -> list[str]:
    """The aliases, and the answer's value where it is not among them."""
    value: str = doc["answer"]["value"]
    aliases: list[str] = doc["answer"]["aliases"]
    return aliases if value in aliases else [*aliases, value]
