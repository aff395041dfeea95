"""Overlap of the page: what every two selections of a budget have in common, and what the audit says they keep."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from prunegrid.api.overlap import overlap
from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.report.page import View
from prunegrid.report.selections import experiment_selections
from prunegrid.table.labels import label

if TYPE_CHECKING:
    from prunegrid.report.build import Source

MEASURES = ["samples", "samples_chance", "common_samples", "tokens", "tokens_chance", "spearman"]


def view(source: "Source") -> View | None:
    """The view `overlap` of a results folder; None if it has fewer than two selections that can be compared."""
    return make(source.data.experiment, source.data.directory)


def make(experiment: Experiment, root: Path) -> View | None:
    """The view `overlap` of an experiment's results folder."""
    models = experiment_selections(experiment, root)
    choices = {(m.model, c.budget, c.variant, c.seed): c for m in models for c in m.choices if not c.is_dynamic}
    if len(choices) < 2:
        return None
    try:
        result = overlap(root)
    except PrunegridError as error:  # such as selections of other data than the scores that are there now
        return View("overlap", "Overlap", {"note": f"Not compared: {error}.", "places": [], "pairs": {}, "audit": []})
    frame = result.to_pandas()
    places = list(choices)
    numbers = {place: number for number, place in enumerate(places)}
    first, second = (_numbers(frame, numbers, prefix) for prefix in ("", "other_"))
    pairs = {"first": first, "second": second} | {name: _values(frame[name]) for name in MEASURES}
    names = ("model", "budget", "variant", "seed")
    data = {
        "note": " ".join(f"{note[0].upper()}{note[1:]}." for note in result.notes),
        "places": [dict(zip(names, p, strict=True)) | {"label": choices[p].label} for p in places],
        "pairs": pairs,
        "audit": audit_rows(root / layout.audit("parquet")),
    }
    return View("overlap", "Overlap", data, helpers=("selections",))


def _numbers(frame: pd.DataFrame, numbers: dict[tuple[str, str, str, int], int], prefix: str) -> list[int]:
    """The places of one side of all pairs."""
    columns = [frame[f"{prefix}{name}"] for name in ("model", "variant", "seed")]
    rows = zip(columns[0], frame["budget"], columns[1], columns[2], strict=True)
    return [numbers[str(model), str(budget), str(variant), int(seed)] for model, budget, variant, seed in rows]


def _values(column: "pd.Series[Any]") -> list[float | None]:
    return [None if pd.isna(value) else round(float(value), 4) for value in column]


def audit_rows(file: Path) -> list[dict[str, Any]]:
    """The audit's means over base models: a row for each pruner, ratio and planted kind; none if it was not made."""
    if not file.exists():
        return []
    frame: Any = files.read_parquet(file).to_pandas()
    means = frame[frame["seed"].isna() & frame["left_out"].isna()]
    columns = ["what", "sample_ratio", "token_ratio", "kind", "n", "share", "chance", "low", "high"]
    rows = means[columns].astype(object).where(means[columns].notna(), None).to_dict("records")
    return [{"pruner": label(name), **row} for name, row in zip(means["pruner"], rows, strict=True)]
