"""SQuAD v2's measure with and without the annotators' plausible answers, side by side."""

from typing import Any

from prunegrid.tasks.paper.utils import IMPOSSIBLE, normalise, squad_answer, squad_golds


def squad_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the answer is a gold one, in 0..1: `exact` takes no plausible answer, `exact_with_plausible` does.

    Both also under the item's kind; of an answerable question (HasAns) they are one.
    """
    answer, golds = squad_answer(results[0]), doc["answers"]["text"]
    strict, generous = (_is_right(answer, texts) for texts in (golds or [IMPOSSIBLE], squad_golds(doc)))
    by_kind = {"HasAns_exact": strict} if golds else {"NoAns_exact": strict, "NoAns_exact_with_plausible": generous}
    return {"exact_with_plausible": generous, "exact": strict, **by_kind}


def _is_right(answer: str, golds: list[str]) -> float:
    return float(answer in [normalise(gold).lower() for gold in golds])
