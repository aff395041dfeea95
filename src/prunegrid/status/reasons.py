"""Why the evaluation of a cell is stale: what it was made with, and what the experiment wants now.

The sandbox's seed is the one setting that no file records.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from prunegrid import pruners
from prunegrid.core import files as io
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.sections import Section
from prunegrid.status.folder import UNKNOWN, Files

PRUNER = ("method", "options")
DIGEST = re.compile("[0-9a-f]{64}")
MODEL_DIGESTS = ("model", "tokenizer", "template")
GONE = "let go (runtime.retention)"
UNSET = object()
EVALUATED = {"was": "another when it was evaluated", "now": "made anew"}
SCORED = {"was": "another when it was scored", "now": "made anew"}
PRUNED = {"was": "another when it was pruned", "now": "made anew"}


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
    (made["engine"],) = files.values(name, "engine", absent="transformers")
    asked = {key: getattr(evaluation, key) for key in ("protocol", "dtype", "engine")}
    found = list(_differences("evaluation", made, asked))
    own = dict(zip(("task", "limit"), files.values(name, "task", "limit"), strict=True))
    found += _differences(at, own, {"task": wanted.task, "limit": wanted.limit})
    later: dict[str, tuple[str, Any]] = {
        "batch_tokens": ("evaluation.batch_tokens", evaluation.batch_tokens),
        "device": ("device", experiment.device),
        "data": (f"{at}.data", wanted.data),
    }
    for key, (what, value) in later.items():
        (was,) = files.values(name, key, absent=UNKNOWN)
        if was != UNKNOWN:
            found += _differences(what, was, value)
    return found


def weights_reasons(experiment: Experiment, files: Files, cell: Cell, evaluate: bool) -> list[Reason]:
    """Why a finished cell is trained again as it was: it has no weights, and is to `evaluate`, or to keep them."""
    at = f"trained/{cell.model}/{cell.path}"
    if not cell.trained or files.exists(f"{at}/model") or not files.exists(f"{at}/training.json"):
        return []
    wanted = "to be kept" if grid.keeps_weights(experiment) else "to be evaluated"
    return [Reason("the trained model", GONE, wanted)] if evaluate or grid.keeps_weights(experiment) else []


def _settings(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """What the files of each step say that they were made with against what the experiment wants."""
    source = {"source": (f"models.{cell.model}", experiment.sources[cell.model])}
    yield from _made(files, f"models/{cell.model}.json", source)
    if not cell.trained:
        return
    dataset, scoring = experiment.dataset, experiment.scoring
    yield from _made(files, f"data/{dataset.name}.json", {"source": ("dataset", dataset)})
    scores = f"scores/{cell.model}/meta.json"
    wanted = {key: (f"scoring.{key}", getattr(scoring, key)) for key in ("max_length", "dtype")}
    yield from _made(files, scores, wanted)
    noted = (f"data/{dataset.name}.json", "digest")
    yield from _since(files, "the training set", noted, (scores, "digests.data"), SCORED)
    training = grid.training_of(experiment, cell)
    made: dict[str, tuple[str, Any]] = {"training": ("training", training), "seed": ("seed", cell.seed)}
    (digests,) = files.values(scores, "digests")
    if digests is not None:
        made["digests"] = ("the scores' digests", digests)
    yield from _made(files, layout.training(cell.name), made)
    if cell.pruned:
        yield from _selected(experiment, files, cell)
    if cell.pruned and not grid.dynamic(experiment, cell):
        yield from _trained_on(files, f"{cell.model}/{cell.path}")


def _selected(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """The settings of a cell's selection, and of what only some variants need for theirs."""
    assert cell.budget
    variant = experiment.variant(cell.variant)
    at = f"variants.{variant.name}"
    selection = grid.selection_summary(experiment, cell)
    made: dict[str, tuple[str, Any]] = {
        "nominal.samples": ("sample_ratio", cell.budget.sample_ratio),
        "nominal.tokens": ("token_ratio", cell.budget.token_ratio),
        "seeds.cell": ("seed", cell.seed),
    }
    yield from _made(files, selection, made)
    if not files.exists(selection):
        return
    was = dict(zip(PRUNER, files.values(selection, *PRUNER), strict=True))
    options = pruners.complete_options(variant.method, variant.options)
    yield from _pruned_by(variant.name, was, {"method": variant.method, "options": options})
    (match,) = files.values(selection, "match", absent=UNKNOWN)
    yield from _differences(f"{at}.match", match, variant.match)
    (foreign,) = files.values(selection, "foreign_pruners", absent={})
    versions = {name: told["version"] for name, told in (foreign or {}).items()}
    now = {pruner.name: pruner.version for pruner in pruners.find_pruners(variant.method) if pruner.foreign}
    yield from _differences(f"{at}: version", versions, now)
    if "reference_nll" in grid.extra_columns(experiment, cell):
        reference = experiment.sources[f"{cell.model}@reference"]
        source = {"source": (f"models.{cell.model}.reference", reference)}
        manifest = f"models/{cell.model}@reference.json"
        yield from _made(files, manifest, source)
        asked = (selection, "extras.reference_nll.reference")
        yield from _since(files, "the reference model", (manifest, "digests.model"), asked, SCORED)
    if grid.dynamic(experiment, cell):
        (pruning,) = files.values(selection, "pruning")
        match = grid.pruning_of(experiment, cell).match
        yield from _pruned_by(str(variant.match), pruning.get("match"), match.model_dump() if match else None)
    if matched := grid.matched_cell(experiment, cell):
        yield from _selected(experiment, files, matched)
        other = f"{grid.selection_folder(experiment, matched)}/selection.json"
        for realised, met in {"n_kept_samples": "matched.samples", "kept_tokens": "matched.tokens"}.items():
            what = f"the selection of {matched.variant}, the match,"
            yield from _since(files, what, (other, realised), (selection, met), PRUNED)


def _pruned_by(variant: str, was: dict[str, Any] | None, now: dict[str, Any] | None) -> Iterator[Reason]:
    """The method and, where that is the same, its options, which the config has beside it; None: no such variant."""
    if was is None or now is None:
        return
    yield from _differences(f"variants.{variant}.method", was["method"], now["method"])
    if was["method"] == now["method"]:
        yield from _differences(f"variants.{variant}", was["options"], now["options"])


def _trained_on(files: Files, at: str) -> Iterator[Reason]:
    """Whether a static cell was trained on the selection that is there."""
    selection = files.root / "pruned" / at / layout.SELECTION
    (trained_on,) = files.values(f"trained/{at}/training.json", "selection", absent=UNKNOWN)
    if trained_on in (None, UNKNOWN) or not selection.exists():
        return
    (there,) = files.values(f"pruned/{at}/selection.json", "selection", absent=UNKNOWN)
    if trained_on != (io.sha256(selection) if there in (None, UNKNOWN) else there):
        yield Reason("the selection", "another when the model was trained", "made anew")


def _evaluated(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """Whether the cell's evaluations were asked of the base model and the trained weights that are there."""
    at = f"{cell.model}/{cell.path}"
    manifest = f"models/{cell.model}.json"
    there = {f"digests.{part}": ("the base model", (manifest, f"digests.{part}")) for part in MODEL_DIGESTS}
    if cell.trained:
        there["digests.weights"] = ("the trained model", (f"trained/{at}/training.json", "weights"))
    for benchmark in experiment.evaluation.benchmarks:
        record = f"evaluation/{at}/{benchmark}.json"
        for key, (what, made) in there.items() if files.exists(record) else ():
            yield from _since(files, what, made, (record, key), EVALUATED)


def _since(
    files: Files, what: str, made: tuple[str, str], used: tuple[str, str], words: dict[str, str]
) -> Iterator[Reason]:
    """`what` is another now, by the value that one file has `made`, than the one that another file says it `used`.

    Nothing is told where an older version did not note either, nor where a file is gone, which is told by itself.
    """
    (now,), (was,) = (files.values(name, key, absent=UNKNOWN) for name, key in (made, used))
    if was != now and None not in (was, now) and UNKNOWN not in (was, now):
        yield Reason(what, **words)


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
    """The keys below `what` in which two values differ; lists are compared as a whole.

    A section is compared as this version records it: a key that an older one did not write means what it meant then.
    """
    if isinstance(now, Section):
        was, now = type(now).as_recorded(was), now.model_dump(mode="json")
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
