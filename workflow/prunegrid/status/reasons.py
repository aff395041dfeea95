"""Why the evaluation of a cell is stale: what it was made with, and what the experiment wants now.

The sandbox's seed is the one setting that no file records.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from prunegrid import grid, io, pruners
from prunegrid.config import Experiment
from prunegrid.grid import Cell
from prunegrid.status.files import UNKNOWN, Files

PRUNER = ("method", "options")
DIGEST = re.compile("[0-9a-f]{64}")
UNSET = object()
EVALUATED = {"was": "another when it was evaluated", "now": "made anew"}


class Reason(NamedTuple):
    """A setting, by its key in the config, or a file; what it was when the cell was made, and what it is."""

    what: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.what} was {self.was}, is {self.now}"


def reasons(experiment: Experiment, files: Files, cell: Cell) -> list[Reason]:
    """Why the cell's evaluations belong to a cell that no longer is; none where they do not.

    What the cell is made of is gone, or was made with other settings than the experiment's, or made anew since: a run
    that ended between a training and its evaluation.
    """
    return list(dict.fromkeys([*_settings(experiment, files, cell), *_evaluated(experiment, files, cell)]))


def score_reasons(experiment: Experiment, files: Files, name: str, benchmark: str) -> list[Reason]:
    """Why one evaluation that is there, the file `name`, is stale: its task, limit, items, ... are others now."""
    evaluation, wanted = experiment.evaluation, experiment.evaluation.benchmarks[benchmark]
    at = f"evaluation.benchmarks.{benchmark}"
    made = dict(zip(("protocol", "dtype"), files.values(name, "protocol", "dtype"), strict=True))
    found = list(_differences("evaluation", made, {"protocol": evaluation.protocol, "dtype": evaluation.dtype}))
    own = dict(zip(("task", "limit"), files.values(name, "task", "limit"), strict=True))
    found += _differences(at, own, {"task": wanted.task, "limit": wanted.limit})
    later = {
        "batch_tokens": ("evaluation.batch_tokens", evaluation.batch_tokens),
        "device": ("device", experiment.device),
        "data": (f"{at}.data", wanted.data.model_dump(mode="json")),
    }
    for key, (what, value) in later.items():
        (was,) = files.values(name, key, absent=UNKNOWN)
        if was != UNKNOWN:
            found += _differences(what, was, value)
    return found


def _settings(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """What the files of each step say that they were made with against what the experiment wants."""
    source = experiment.sources[cell.model].model_dump(mode="json")
    yield from _made(files, f"models/{cell.model}.json", {"source": (f"models.{cell.model}", source)})
    if not cell.trained:
        return
    dataset, scoring = experiment.dataset, experiment.scoring
    yield from _made(files, f"data/{dataset.name}.json", {"source": ("dataset", dataset.model_dump(mode="json"))})
    scores = f"scores/{cell.model}/meta.json"
    wanted = {key: (f"scoring.{key}", getattr(scoring, key)) for key in ("max_length", "dtype")}
    yield from _made(files, scores, wanted)
    training = grid.training_of(experiment, cell).model_dump(mode="json")
    made = {"training": ("training", training), "seed": ("seed", cell.seed)}
    (digests,) = files.values(scores, "digests")
    if digests is not None:
        made["digests"] = ("the scores' digests", digests)
    yield from _made(files, f"trained/{cell.model}/{cell.path}/training.json", made)
    if cell.pruned:
        yield from _selected(experiment, files, cell)
    if cell.pruned and not grid.dynamic(experiment, cell):
        yield from _trained_on(files, f"{cell.model}/{cell.path}")


def _selected(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """The settings of a cell's selection, and of what only some variants need for theirs."""
    assert cell.budget
    variant = experiment.variant(cell.variant)
    at = f"variants.{variant.name}"
    selection = f"{grid.selection_folder(experiment, cell)}/selection.json"
    made: dict[str, tuple[str, Any]] = {
        "nominal.samples": ("sample_ratio", cell.budget.sample_ratio),
        "nominal.tokens": ("token_ratio", cell.budget.token_ratio),
        "seeds.cell": ("seed", cell.seed),
    }
    yield from _made(files, selection, made)
    if not files.exists(selection):
        return
    was = dict(zip(PRUNER, files.values(selection, *PRUNER), strict=True))
    options = pruners.filled(variant.method, variant.options)
    yield from _pruned_by(variant.name, was, {"method": variant.method, "options": options})
    (match,) = files.values(selection, "match", absent=UNKNOWN)
    yield from _differences(f"{at}.match", match, variant.match)
    (foreign,) = files.values(selection, "foreign_pruners", absent={})
    versions = {name: told["version"] for name, told in (foreign or {}).items()}
    now = {pruner.name: pruner.version for pruner in pruners.members(variant.method) if pruner.foreign}
    yield from _differences(f"{at}: version", versions, now)
    if "reference_nll" in grid.extra_columns(experiment, cell):
        reference = experiment.sources[f"{cell.model}@reference"].model_dump(mode="json")
        source = {"source": (f"models.{cell.model}.reference", reference)}
        yield from _made(files, f"models/{cell.model}@reference.json", source)
    if grid.dynamic(experiment, cell):
        (pruning,) = files.values(selection, "pruning")
        yield from _pruned_by(str(variant.match), pruning.get("match"), grid.pruning_of(experiment, cell).get("match"))
    if matched := grid.matched_cell(experiment, cell):
        yield from _selected(experiment, files, matched)


def _pruned_by(variant: str, was: dict[str, Any] | None, now: dict[str, Any] | None) -> Iterator[Reason]:
    """The method and, where that is the same, its options, which the config has beside it; None: no such variant."""
    if was is None or now is None:
        return
    yield from _differences(f"variants.{variant}.method", was["method"], now["method"])
    if was["method"] == now["method"]:
        yield from _differences(f"variants.{variant}", was["options"], now["options"])


def _trained_on(files: Files, at: str) -> Iterator[Reason]:
    """Whether a static cell was trained on the selection that is there."""
    selection = files.root / "pruned" / at / "selection.parquet"
    (trained_on,) = files.values(f"trained/{at}/training.json", "selection", absent=UNKNOWN)
    if trained_on in (None, UNKNOWN) or not selection.exists():
        return
    (there,) = files.values(f"pruned/{at}/selection.json", "selection", absent=UNKNOWN)
    if trained_on != (io.sha256(selection) if there in (None, UNKNOWN) else there):
        yield Reason("the selection", "another when the model was trained", "made anew")


def _evaluated(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """Whether the cell's evaluations were asked of the base model and the trained weights that are there."""
    at = f"{cell.model}/{cell.path}"
    (base,) = files.values(f"models/{cell.model}.json", "digests.model", absent=UNKNOWN)
    there = {"digests.model": ("the base model", base)}
    if cell.trained:
        (weights,) = files.values(f"trained/{at}/training.json", "weights", absent=UNKNOWN)
        there["digests.weights"] = ("the trained model", weights)
    for benchmark in experiment.evaluation.benchmarks:
        record = f"evaluation/{at}/{benchmark}.json"
        for key, (what, digest) in there.items() if files.exists(record) else ():
            (asked,) = files.values(record, key, absent=UNKNOWN)
            if asked != digest and UNKNOWN not in (asked, digest) and digest is not None:
                yield Reason(what, **EVALUATED)


def _made(files: Files, name: str, wanted: dict[str, tuple[str, Any]]) -> Iterator[Reason]:
    """Of each key of a JSON file its config key and what that wants; a file that is gone is one reason.

    One of the cell's own goes by its name alone, so that it is one reason for all cells.
    """
    found = files.values(name, *wanted)
    if not files.exists(name):
        own = name.startswith(("pruned/", "trained/"))
        yield Reason(name.rpartition("/")[2] if own else name, "there", "gone")
        return
    for was, (what, value) in zip(found, wanted.values(), strict=True):
        yield from _differences(what, was, value)


def _differences(what: str, was: Any, now: Any) -> Iterator[Reason]:
    """The keys below `what` in which two values differ; lists are compared as a whole."""
    if was == now:
        return
    if isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*was, *now]):
            yield from _differences(f"{what}.{key}", was.get(key, UNSET), now.get(key, UNSET))
    else:
        yield Reason(what, _text(was), _text(now))


def _text(value: Any) -> str:
    """The value as the config would have it; of a digest its beginning."""
    if value is UNSET:
        return "not set"
    if isinstance(value, str) and (value == UNKNOWN or DIGEST.fullmatch(value)):
        return value[:12]
    return json.dumps(value, ensure_ascii=False)
