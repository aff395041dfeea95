"""SQuAD v2's measures as lm-eval's squadv2 computes them (Hugging Face's metric squad_v2, of the official script).

lm-eval also asks for log P(" unanswerable"). It changes exact and f1 only above a threshold of 1, so never.
"""

from typing import Any

from prunegrid.tasks.harness.utils import f1, normalise


def squad_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Best exact match and F1 over the gold answers, also under the item's kind (HasAns or NoAns), in 0..1.

    Where there is no answer, only one is right of which normalisation leaves nothing.
    """
    texts: list[str] = doc["answers"]["text"]
    golds = [words for text in texts if (words := normalise(text).split())] or [[]]
    predicted = normalise(results[0]).split()
    kind = "HasAns" if texts else "NoAns"
    exact, best_f1 = float(predicted in golds), max(f1(predicted, gold) for gold in golds)
    return {"exact": exact, "f1": best_f1, f"{kind}_exact": exact, f"{kind}_f1": best_f1}
