"""Two experiments side by side, or ours beside the published scores: the rows of both, and how the configs differ."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from prunegrid.core import files
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.locate import read_folder
from prunegrid.published import frame as published
from prunegrid.published.compare import UNMATCHED
from prunegrid.published.compare_report import compare_frames, read_results
from prunegrid.report.page import View
from prunegrid.table.document import TIMES, budget_of
from prunegrid.table.labels import Labels

if TYPE_CHECKING:
    from prunegrid.report.build import Source

ABSENT = "absent"
Difference = tuple[str, str, str]
"""A key of the config, and its value on both sides."""


def view(source: "Source") -> View | None:
    """The view `compare`: with `source.other`, else with the published tables where they have one of our models."""
    if source.other is not None:
        return _two_experiments(source, source.other)
    frame = source.data.frame
    models = set(frame["model"]) | set(source.models.values())
    if not models & set(published.reference()["model"]) or (frame["status"] != "done").all():
        return None
    rows = _data(source, *compare_frames(frame, None, dict(source.models)))
    return View("compare", "Beside the published", {"title": published.PAPER, "config": [], **rows})


def _two_experiments(source: "Source", other: Path) -> View:
    """Variants with a name of their own stand beside the same of the other experiment, if both define it alike."""
    first, second = source.data.experiment, read_folder(other)
    same = [variant.name for variant in first.variants if variant in second.variants]
    frame, other_frame = (_named(frame, same) for frame in (source.data.frame, read_results(other)))
    rows = _data(source, *compare_frames(frame, other_frame, dict(source.models)))
    config = differences(*(files.read_json(folder / layout.EXPERIMENT) for folder in (source.data.directory, other)))
    names = {"title": _names(first, second, other), "config": list(config)}
    return View("compare", "Two experiments", {**names, **rows})


def _names(first: Experiment, second: Experiment, other: Path) -> str:
    return f"{first.experiment} beside {second.experiment} ({other})"


def _named(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The frame with these variants under their own names, where the comparison looks for the method's."""
    plain = frame["variant"] == (frame["sample_pruner"] + "+" + frame["token_pruner"]).fillna(frame["sample_pruner"])
    renamed = frame["variant"].isin(names) & ~plain
    columns = {"sample_pruner": frame["sample_pruner"].mask(renamed, frame["variant"])}
    return frame.assign(**columns, token_pruner=frame["token_pruner"].mask(renamed))


def _data(source: "Source", rows: pd.DataFrame, remarks: list[str]) -> dict[str, Any]:
    """The rows that both sides have, and the remarks on all of them."""
    matched: Any = rows[rows["verdict"] != UNMATCHED].itertuples()
    experiment = source.data.experiment
    return {"rows": [_row(line, _label(line, experiment)) for line in matched], "remarks": remarks}


def _label(line: Any, experiment: Experiment) -> str:
    method = Labels(experiment).method(line.variant, line.sample_pruner, line.token_pruner)
    names = {variant.name for variant in experiment.variants if variant.name != variant.method}
    return f"{line.variant} ({method})" if line.variant in names else method


def _row(line: Any, label: str) -> dict[str, Any]:
    budget = budget_of(line)
    return {
        "model": line.model if line.model == line.their_model else f"{line.model}, {line.their_model}",
        "data": line.dataset if line.dataset == line.their_dataset else f"{line.dataset}, {line.their_dataset}",
        "budget": f"{100 * budget.sample_ratio:.6g} {TIMES} {100 * budget.token_ratio:.6g}" if budget else "",
        "row": label,
        "benchmark": line.benchmark,
        "ours": line.score,
        "our_seeds": int(line.n_seeds),
        "theirs": line.their_score,
        "their_seeds": int(line.their_n_seeds),
        "difference": line.difference,
        "half": line.half_width,
        "verdict": line.verdict,
    }


def differences(first: Any, second: Any, key: str = "") -> Iterator[Difference]:
    """The keys at which two configs differ, `training.learning_rate`; lists of settings are compared as a whole."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys([*first, *second]):
            yield from differences(first.get(name, ABSENT), second.get(name, ABSENT), f"{key}.{name}" if key else name)
    elif first != second:
        yield key, _text(first), _text(second)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
