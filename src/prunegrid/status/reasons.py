"""Why a cell is stale: the settings and inputs that its files record, against those of the experiment.

The sandbox's seed is the one setting that no file records.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from prunegrid import pruners
from prunegrid.core import files as core_files
from prunegrid.experiment import grid, layout, params
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.imported import scores_file
from prunegrid.experiment.inputs import reference_name
from prunegrid.experiment.names import TRANSFORMERS
from prunegrid.experiment.section import Section
from prunegrid.pruners.columns import REFERENCE_EXTRAS
from prunegrid.status import inputs
from prunegrid.status.folder import UNKNOWN, Files
from prunegrid.status.reason import EVALUATED, IMPORTED, MISSING, PRUNED, SCORED, Reason, was
from prunegrid.tasks.catalog import current_name, known_tasks

DIGEST = re.compile("[0-9a-f]{64}")
MODEL_DIGESTS = ("model", "tokenizer", "template")
NEEDED = "were deleted (runtime.retention), but are needed for evaluation"
KEPT = "were deleted, but runtime.retention now keeps them"
UNSET = object()
Location = tuple[str, str]
"""A JSON file and a dotted key in it."""


def cell_reasons(experiment: Experiment, files: Files, cell: Cell) -> list[Reason]:
    """Why all evaluations of the cell are stale, if they are.

    An input of the cell is missing, was made with other settings, or was made again after the evaluation, as when a run
    ended between training and evaluation.
    """
    remove: dict[Reason, tuple[str, ...]] = {}
    for reason in (*_setting_reasons(experiment, files, cell), *_input_reasons(experiment, files, cell)):
        remove[reason] = remove.get(reason, ()) + reason.remove
    return [replace(reason, remove=tuple(dict.fromkeys(names))) for reason, names in remove.items()]


def score_reasons(experiment: Experiment, files: Files, cell: Cell, benchmark: str) -> list[Reason]:
    """Why one existing evaluation is stale: its task, limit, items or another setting has changed."""
    if benchmark in experiment.evaluation.imported:
        return _import_reasons(experiment, files, cell, benchmark)
    evaluation, settings = experiment.evaluation, experiment.evaluation.benchmarks[benchmark]
    record, section = layout.score(cell.name, benchmark), f"evaluation.benchmarks.{benchmark}"
    protocol, dtype, limit = files.values(record, "protocol", "dtype", "limit")
    engine = files.value(record, "engine", absent=TRANSFORMERS)
    share = files.value(record, "share_prefixes", absent=False)
    repeats, gen_kwargs = files.value(record, "repeats", absent=1), files.value(record, "gen_kwargs", absent={})
    examples = settings.model_dump(mode="json", include={"examples"}).get("examples", {})
    reasons = [
        *_differences("evaluation.protocol", protocol, evaluation.protocol),
        *_differences("evaluation.dtype", dtype, evaluation.dtype),
        *_differences("evaluation.engine", engine, evaluation.engine),
        *_task_name_reasons(files, record, f"{section}.task", settings.task_name),
        *_differences("evaluation.share_prefixes", share, evaluation.share_prefixes),
        *_differences(f"{section}.limit", limit, settings.limit),
        *_differences(f"{section}.repeats", repeats, settings.repeats),
        *_differences(f"{section}.gen_kwargs", gen_kwargs, settings.gen_kwargs),
        *_differences(f"{section}.examples", files.value(record, "examples", absent={}), examples),
        *_task_reasons(experiment, files, record, benchmark),
        *_differences(section, files.value(record, "settings", absent={}), settings.settings),
    ]
    optional: dict[str, tuple[str, Any]] = {
        "batch_tokens": ("evaluation.batch_tokens", evaluation.batch_tokens),
        "device": ("device", experiment.device),
        "data": (f"{section}.data", settings.data),
    }
    for key, (setting, current) in optional.items():
        recorded = files.value(record, key, absent=UNKNOWN)
        if recorded != UNKNOWN:
            reasons += _differences(setting, recorded, current)
    return reasons


def _task_name_reasons(files: Files, record: str, setting: str, current: str) -> Iterator[Reason]:
    """Whether the task has another name; a record may have a former one."""
    recorded, digest = files.value(record, "task"), files.value(record, "task_hash", absent=UNKNOWN)
    if current_name(recorded, digest) != current:
        yield from _differences(setting, recorded, current)


def _task_reasons(experiment: Experiment, files: Files, record: str, benchmark: str) -> Iterator[Reason]:
    """Whether a task that the config describes, or one of `evaluation.tasks`, was another."""
    evaluation = experiment.evaluation
    settings = evaluation.benchmarks[benchmark]
    if settings.kind or (evaluation.tasks and settings.task not in known_tasks(evaluation.protocol)):
        digest = files.value(record, "task_hash", absent=UNKNOWN)
        if digest not in (UNKNOWN, evaluation.find_task(benchmark).digest):
            yield Reason(f"task of {benchmark}", EVALUATED)


def _import_reasons(experiment: Experiment, files: Files, cell: Cell, benchmark: str) -> list[Reason]:
    """Why imported scores are stale: other keys of the config, or another file."""
    record, section = layout.score(cell.name, benchmark), f"evaluation.benchmarks.{benchmark}"
    recorded, digest = files.values(record, "imported", "data_hash", absent=UNKNOWN)
    reasons = [*_differences(section, recorded, experiment.evaluation.benchmarks[benchmark])]
    if cell.trained:
        weights = (layout.training(cell.name), "weights"), (record, "digests.weights")
        reasons += _changed(files, "trained model", *weights, IMPORTED)
    file = Path(scores_file(experiment, cell, benchmark))
    return [*reasons, *(_differences(str(file), digest, core_files.sha256(file)) if file.is_file() else ())]


def weights_reasons(experiment: Experiment, files: Files, cell: Cell, evaluate: bool) -> list[Reason]:
    """Why a finished cell is trained again with the same settings: its deleted weights are needed to `evaluate`, or
    must be kept."""
    trained = cell.trained and files.exists(layout.training(cell.name))
    if not trained or files.exists(layout.weights(cell.name)):
        return []
    keep = grid.keeps_weights(experiment)
    return [Reason("weights", KEPT if keep else NEEDED)] if keep or evaluate else []


def _setting_reasons(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """The settings that the files of each step record, against the experiment's."""
    source = {"source": (f"models.{cell.model}", experiment.sources[cell.model])}
    yield from _record_reasons(files, layout.manifest(cell.model), source)
    if not cell.trained:
        return
    dataset, scores = layout.dataset_counts(experiment.dataset.name), layout.scores_meta(cell.model)
    yield from _record_reasons(files, dataset, {"source": ("dataset", experiment.dataset)})
    scoring = {key: (f"scoring.{key}", getattr(experiment.scoring, key)) for key in ("max_length", "dtype")}
    yield from _record_reasons(files, scores, scoring)
    yield from _changed(files, "training set", (dataset, "digest"), (scores, "digests.data"), SCORED)
    training = grid.training_of(experiment, cell)
    settings: dict[str, tuple[str, Any]] = {"training": ("training", training), "seed": ("seed", cell.seed)}
    digests = files.value(scores, "digests")
    if digests is not None:
        settings["digests"] = ("scores: digests", digests)
    yield from _record_reasons(files, layout.training(cell.name), settings)
    if cell.pruned:
        yield from _selection_reasons(experiment, files, cell)
    yield from inputs.record_reasons(experiment, files, cell)


def _selection_reasons(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """The settings of a cell's selection, and of the inputs that only some selections have."""
    assert cell.budget
    summary = grid.selection_summary(experiment, cell)
    settings: dict[str, tuple[str, Any]] = {
        "nominal.samples": ("sample_ratio", cell.budget.sample_ratio),
        "nominal.tokens": ("token_ratio", cell.budget.token_ratio),
        "seeds.cell": ("seed", cell.seed),
    }
    yield from _record_reasons(files, summary, settings)
    if files.exists(summary):
        yield from _method_reasons(experiment, files, cell, summary)
        yield from _reference_reasons(experiment, files, cell, summary)
        yield from _score_file_reasons(experiment, files, cell, summary)
        yield from _match_reasons(experiment, files, cell, summary)


def _method_reasons(experiment: Experiment, files: Files, cell: Cell, summary: str) -> Iterator[Reason]:
    variant = experiment.variant(cell.variant)
    recorded = dict(zip(("method", "options"), files.values(summary, "method", "options"), strict=True))
    options = pruners.complete_options(variant.method, variant.options)
    yield from _pruner_differences(variant.name, recorded, {"method": variant.method, "options": options})
    match = files.value(summary, "match", absent=UNKNOWN)
    yield from _differences(f"variants.{variant.name}.match", match, variant.match)
    foreign = files.value(summary, "foreign_pruners", absent={}) or {}
    versions = {name: record["version"] for name, record in foreign.items()}
    yield from _differences(f"variants.{variant.name}: version", versions, params.foreign_versions(experiment, cell))


def _reference_reasons(experiment: Experiment, files: Files, cell: Cell, summary: str) -> Iterator[Reason]:
    """The reference model, for a pruner that reads a score computed under it."""
    for column in REFERENCE_EXTRAS & set(grid.extra_columns(experiment, cell)):
        name = reference_name(cell.model)
        manifest, source = layout.manifest(name), (f"models.{cell.model}.reference", experiment.sources[name])
        yield from _record_reasons(files, manifest, {"source": source})
        used = (summary, f"extras.{column}.reference")
        yield from _changed(files, "reference model", (manifest, "digests.model"), used, SCORED)


def _score_file_reasons(experiment: Experiment, files: Files, cell: Cell, summary: str) -> Iterator[Reason]:
    """The files of imported scores, and how they were read. One that is older than its column is not read again."""
    used = files.value(summary, "extras", absent={}) or {}
    for column in set(grid.extra_columns(experiment, cell)) & set(experiment.scores) & set(used):
        settings, recorded = experiment.scores[column], used[column]
        for key, current in settings.model_copy(update={"source": ""}).recorded.items():
            yield from _differences(f"scores.{column}.{key}", recorded.get(key, UNSET), current)
        file, imported = Path(settings.path(cell.model)), files.root / layout.extra_score(cell.model, column)
        if file.is_file() and imported.is_file() and file.stat().st_mtime_ns > imported.stat().st_mtime_ns:
            yield from _differences(str(file), recorded.get("sha256", UNSET), core_files.sha256sum(file))


def _match_reasons(experiment: Experiment, files: Files, cell: Cell, summary: str) -> Iterator[Reason]:
    """What a variant with `match` is matched to: another pruner in each mini-batch, or another cell's selection."""
    if grid.dynamic(experiment, cell):
        pruning, spec = files.value(summary, "pruning"), grid.pruning_of(experiment, cell)
        current = spec.match.model_dump() if spec.match else None
        yield from _pruner_differences(str(experiment.variant(cell.variant).match), pruning.get("match"), current)
    if matched := grid.matched_cell(experiment, cell):
        yield from _selection_reasons(experiment, files, matched)
        other = grid.selection_summary(experiment, matched)
        for realised, target in {"n_kept_samples": "matched.samples", "kept_tokens": "matched.tokens"}.items():
            name = f"matched selection ({matched.variant})"
            yield from _changed(files, name, (other, realised), (summary, target), PRUNED)


def _pruner_differences(
    variant: str, recorded: dict[str, Any] | None, current: dict[str, Any] | None
) -> Iterator[Reason]:
    """The method or, if it is the same, its options; in the config both are keys of the variant. None: no variant."""
    if recorded is None or current is None:
        return
    yield from _differences(f"variants.{variant}.method", recorded["method"], current["method"])
    if recorded["method"] == current["method"]:
        yield from _differences(f"variants.{variant}", recorded["options"], current["options"])


def _input_reasons(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """Whether the base model or the trained weights were made again after an evaluation."""
    manifest = layout.manifest(cell.model)
    inputs = {f"digests.{part}": ("base model", (manifest, f"digests.{part}")) for part in MODEL_DIGESTS}
    if cell.trained:
        inputs["digests.weights"] = ("trained model", (layout.training(cell.name), "weights"))
    for benchmark in experiment.evaluation.asked:
        record = layout.score(cell.name, benchmark)
        for key, (name, current) in inputs.items() if files.exists(record) else ():
            yield from _changed(files, name, current, (record, key), EVALUATED)


def _changed(files: Files, name: str, current: Location, used: Location, made: str) -> Iterator[Reason]:
    """`name`, if the file that holds its `current` value differs from the one that holds the value `used`.

    Skipped if either value is missing (written by an older version) or its file is (reported separately).
    """
    values = [files.value(*location, absent=UNKNOWN) for location in (current, used)]
    if values[0] != values[1] and None not in values and UNKNOWN not in values:
        remove = (used[0],) if files.is_unseen(used[0], current[0]) else ()
        yield Reason(name, made, remove)


def _record_reasons(files: Files, name: str, settings: dict[str, tuple[str, Any]]) -> Iterator[Reason]:
    """The `settings` (recorded key: config key and current value) that a JSON file records differently.

    A missing file is one reason. The cell's own files are named without their folder, as the same reason for all cells.
    """
    if not files.exists(name):
        own_file = name.startswith((layout.pruned(""), layout.trained("")))
        yield Reason(name.rpartition("/")[2] if own_file else name, MISSING)
        return
    for recorded, (setting, current) in zip(files.values(name, *settings), settings.values(), strict=True):
        yield from _differences(setting, recorded, current)


def _differences(setting: str, recorded: Any, current: Any) -> Iterator[Reason]:
    """The keys below `setting` whose values differ; lists are compared as a whole.

    A section is compared as this version records it: a key that an older version did not write has its default.
    """
    if isinstance(current, Section):
        recorded, current = type(current).as_recorded(recorded), current.model_dump(mode="json")
    if recorded == current:
        return
    if isinstance(recorded, dict) and isinstance(current, dict):
        for key in dict.fromkeys([*recorded, *current]):
            yield from _differences(f"{setting}.{key}", recorded.get(key, UNSET), current.get(key, UNSET))
    else:
        yield Reason(setting, was(_text(recorded), _text(current)))


def _text(value: Any) -> str:
    """The value as the config would have it; of a digest the first characters."""
    if value is UNSET:
        return "not set"
    if isinstance(value, str) and (value == UNKNOWN or DIGEST.fullmatch(value)):
        return value[:12]
    return json.dumps(value, ensure_ascii=False)
