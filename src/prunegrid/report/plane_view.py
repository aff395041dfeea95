"""The error-uncertainty plane of the page: samples as dots by entropy and perplexity, and what a selection keeps.

At most `RANDOM` samples at random and `KEPT` more that some selection keeps are drawn, the same for every selection; of
several models each has its share of these limits, but not fewer than `LEAST`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from prunegrid.core import files
from prunegrid.core.ragged import Ints
from prunegrid.core.randomness import uniform
from prunegrid.report.page import View
from prunegrid.report.sample_texts import numbers, short_texts, text_source
from prunegrid.report.selections import Choice, ModelSelections, experiment_selections, sample_columns

if TYPE_CHECKING:
    from prunegrid.report.build import Source

RANDOM, KEPT, LEAST = 5_000, 5_000, 2_000
AXES = {"entropy": "response", "sequence_entropy": "prompt and response"}
MARKS = {"q2": "2", "q4": "4"}


def view(source: "Source") -> View | None:
    """The view `plane` of a results folder; None if nothing in it is pruned."""
    return make(experiment_selections(source.data.experiment, source.data.directory, source.texts))


def make(models: Sequence[ModelSelections]) -> View | None:
    """The view `plane` of these selections."""
    some = [model for model in models if model.choices]
    if not some:
        return None
    data = {"models": [model_data(model, len(some)) for model in some], "axes": AXES}
    return View("plane", "EU plane", data, helpers=("selections",))


def model_data(model: ModelSelections, models: int = 1) -> dict[str, Any]:
    """One model's dots, and by selection a mark for each dot: what the selection does with the sample."""
    data: dict[str, Any] = {"model": model.model, "note": model.note, "selections": []}
    if not model.has_scores:
        return data
    path = model.scores.tables["sample"]
    all_ids = files.read_parquet(path, ["sample_id"])["sample_id"].to_numpy()
    if missing := {"entropy", "ppl"} - set(files.parquet_schema(path).names):
        note = f"{path.name} has no {' and '.join(sorted(missing))}, so samples cannot be placed on the plane."
        return data | {"note": f"{data['note']} {note}".strip()}
    ids, counts = drawn_samples(all_ids, model.choices, models)
    columns, source = sample_columns(model.scores, ids), text_source(model.scores, model.texts)
    texts = short_texts(model.scores, source, ids)
    return data | {
        "note": " ".join(filter(None, (model.note, source.problem))),
        "drawn": counts,
        "ids": ids.tolist(),
        "ppl": numbers(columns["ppl"]),
        "x": {name: numbers(columns[name]) for name in AXES if name in columns},
        "prompts": [texts[i][0] for i in ids.tolist()] if texts else [],
        "answers": [texts[i][1] for i in ids.tolist()] if texts else [],
        "selections": [choice_data(choice, ids) for choice in model.choices],
    }


def drawn_samples(all_ids: Ints, choices: Sequence[Choice], models: int = 1) -> tuple[Ints, dict[str, int]]:
    """The samples [m], ascending, that are drawn, and how many of how many: at random, and kept by some selection."""
    kept = np.zeros(0, np.int64)
    for choice in choices:
        kept = np.union1d(kept, choice.sample_ids)
    limits = [limit if models == 1 else max(LEAST, limit // models) for limit in (RANDOM, KEPT)]
    random = _luckiest(all_ids, limits[0])
    more = _luckiest(np.setdiff1d(kept, random), limits[1])
    ids = np.union1d(random, more)
    counts = {"samples": len(all_ids), "random": len(random), "kept": len(kept)}
    return ids, counts | {"kept_drawn": int(np.isin(kept, ids).sum())}


def _luckiest(ids: Ints, number: int) -> Ints:
    """So many of the ids, the same whatever the others are."""
    return ids[np.argsort(uniform(0, "report", ids), kind="stable")[:number]]


def choice_data(choice: Choice, ids: Ints) -> dict[str, Any]:
    """The selection's place, its counts, its thresholds, and `marks`, a letter for each of the samples `ids`."""
    summary = choice.summary
    thresholds = summary.thresholds
    single = thresholds[0] if isinstance(thresholds, list) and len(thresholds) == 1 else None
    windows = len(thresholds) if isinstance(thresholds, list) else (thresholds or {}).get("windows", 0)
    rows = choice.rows(["sample_id", "reason", "treated_as"])
    return choice.place | {
        "kept": len(rows),
        "marks": _marks(rows, ids),
        "reasons": dict(zip(*_counts(rows), strict=True)),
        "thresholds": None if summary.unit == "conversation" else single,
        "windows": windows,
        "corners": summary.corners,
        "x": choice.entropy,
        "unit": summary.unit,
    }


def _counts(rows: pa.Table) -> tuple[list[str], list[int]]:
    names, counts = np.unique(rows["reason"].to_numpy(zero_copy_only=False).astype(str), return_counts=True)
    return names.tolist(), counts.tolist()


def _marks(rows: pa.Table, ids: Ints) -> str:
    """`.` dropped, `k` kept, `2` and `4` kept as Q2 and Q4, `a` and `b` filled in and treated as Q2 and Q4."""
    reasons, treated = rows["reason"].to_pylist(), rows["treated_as"].to_pylist()
    letters = {
        sample: ("a" if rule == 2 else "b") if reason == "fill" else MARKS.get(reason, "k")
        for sample, reason, rule in zip(rows["sample_id"].to_pylist(), reasons, treated, strict=True)
    }
    return "".join(letters.get(sample, ".") for sample in ids.tolist())
