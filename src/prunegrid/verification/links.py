"""Which records a results folder has, and which files each of them names: what `chain.Walk` follows."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import repair
from prunegrid.data.datasets import locate
from prunegrid.data.sources import source_files
from prunegrid.experiment import grid, inputs, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.grid import Cell
from prunegrid.verification.chain import Walk, weight_files
from prunegrid.verification.hashes import Hashes

MODEL_DIGESTS = ("model", "tokenizer", "template")
INPUTS, OUTPUTS = "inputs", "sha256"


def walk_folder(root: Path, experiment: Experiment, done: Collection[Cell], deep: bool = False) -> Walk:
    """Compare every digest of the folder. What cells that are not `done` were made of may have changed since."""
    walk = Walk(root, Hashes(deep))
    if (root / layout.RESULTS).exists():
        walk.follow(layout.RESULTS_RECORD, INPUTS, "results", "records of the results")
        walk.follow(layout.RESULTS_RECORD, OUTPUTS, "results", "results.parquet")
    for cell in grid.cells(experiment):
        _walk_evaluation(walk, experiment, cell, cell in done)
        _walk_training(walk, experiment, cell, cell in done)
        _walk_selection(walk, experiment, cell, cell in done)
    for model in experiment.models:
        _walk_scores(walk, experiment, model)
    for model in experiment.sources:
        _walk_model(walk, experiment, model)
    _walk_data(walk, experiment)
    return walk


def _walk_evaluation(walk: Walk, experiment: Experiment, cell: Cell, done: bool) -> None:
    for benchmark in experiment.evaluation.benchmarks:
        name, kind = layout.score(cell.name, benchmark), "evaluations"
        if not (record := walk.record(name)):
            continue
        _check_identity(walk, name, {"benchmark": benchmark})
        walk.compare(name, kind, [layout.answers(cell.name, benchmark)], record.get("items_hash"), "items")
        if not done:
            continue
        if benchmark in experiment.evaluation.imported:
            if cell.trained:
                walk.follow(name, INPUTS, kind, "trainings of evaluations")
            continue
        walk.compare(name, kind, [layout.benchmark_items(benchmark)], record.get("data_hash"), "benchmarks")
        for part in MODEL_DIGESTS:
            place = layout.manifest(cell.model), f"digests.{part}"
            walk.agree(kind, (name, f"digests.{part}"), place, "base model")
        if cell.trained:
            walk.follow(name, INPUTS, kind, "trainings of evaluations")
            walk.agree(kind, (name, "digests.weights"), (layout.training(cell.name), "weights"), "trained model")
        elif weights := weight_files(walk.root / layout.base_model(cell.model)):
            walk.compare(name, kind, weights, record.get("digests", {}).get("weights"), "weights")


def _walk_training(walk: Walk, experiment: Experiment, cell: Cell, done: bool) -> None:
    name, kind = layout.training(cell.name), "trainings"
    if not cell.trained or not (record := walk.record(name)):
        return
    _check_identity(walk, name, {"seed": cell.seed})
    folder = walk.root / layout.weights(cell.name)
    if folder.is_dir():
        walk.sizes(name, layout.weights(cell.name))
        if weights := weight_files(folder):
            walk.compare(name, kind, weights, record.get("weights"), "weights")
    else:
        walk.deleted.append(cell.name)
    if record.get(OUTPUTS) is not None:
        walk.follow(name, OUTPUTS, kind, "", skipped="" if folder.is_dir() else layout.WEIGHTS)
    if done:
        walk.follow(name, INPUTS, kind, "scores of trainings", skipped=_rewritten(walk, experiment, cell))
        for part in (*MODEL_DIGESTS, "data"):
            place = layout.scores_meta(cell.model), f"digests.{part}"
            walk.agree(kind, (name, f"digests.{part}"), place, "scores")
        if cell.pruned and not grid.dynamic(experiment, cell):
            selection = layout.selection(cell.name, experiment.pruning.shards)
            walk.compare(name, kind, selection, record.get("selection"), "selections of trainings")


def _walk_selection(walk: Walk, experiment: Experiment, cell: Cell, done: bool) -> None:
    if not cell.budget:
        return
    name, kind = grid.selection_summary(experiment, cell), "selections"
    if not (record := walk.record(name)):
        return
    nominal = {"samples": cell.budget.sample_ratio, "tokens": cell.budget.token_ratio}
    _check_identity(walk, name, {"variant": cell.variant, "nominal": nominal})
    seeds = record.get("seeds") or {}
    if seeds.get("cell", cell.seed) != cell.seed:
        walk.other.append(_another(walk.root / name, "seed", seeds["cell"], cell.seed))
    if not grid.dynamic(experiment, cell):
        selection = layout.selection(cell.name, experiment.pruning.shards)
        walk.compare(name, kind, selection, record.get("selection"), "selections")
        if done:
            matched = grid.matched_cell(experiment, cell)
            skipped = _rewritten(walk, experiment, matched, record.get("version")) if matched else ""
            walk.follow(name, INPUTS, kind, "scores of selections", skipped=skipped)
    if done:
        _check_score_files(walk, experiment, cell, record)
        for part in (*MODEL_DIGESTS, "data"):
            place = layout.scores_meta(cell.model), f"digests.{part}"
            walk.agree(kind, (name, f"digests.{part}"), place, "scores")


def _check_score_files(walk: Walk, experiment: Experiment, cell: Cell, record: dict[str, Any]) -> None:
    """Whether the files that scores were imported from are still what the selection was made of."""
    home = walk.root.resolve().parents[1]  # as in `_source`
    extras = record.get("extras") or {}
    for column in set(extras) & set(experiment.scores):
        file = home / experiment.scores[column].path(cell.model)
        if not file.is_file():
            walk.elsewhere = list(dict.fromkeys([*walk.elsewhere, str(file)]))
        elif (actual := walk.hashes.find(file, file)) == extras[column].get("sha256"):
            walk.matched["imported scores"] += 1
        else:
            problem = (
                f"its SHA-256 is {str(actual)[:12]}..., but {extras[column].get('sha256', '')[:12]}... was imported"
            )
            fix = "restore the original file, or run the same snakemake command to import this one"
            error = PrunegridError(file, problem, fix)
            if str(error) not in map(str, walk.other):
                walk.other.append(error)


def _rewritten(walk: Walk, experiment: Experiment, cell: Cell, maker: str | None = None) -> str:
    """The summary of a cell's selection if it is of another version than `maker` (None: of its training's), else "".

    A version writes its own number into it, so that its digest says nothing; its numbers are recomputed, and the
    selection itself has a digest of its own.
    """
    if not cell.pruned or grid.dynamic(experiment, cell):
        return ""
    summary = grid.selection_summary(experiment, cell)
    maker = maker or walk.record(layout.training(cell.name)).get("versions", {}).get("prunegrid")
    return summary if maker != walk.record(summary).get("version") else ""


def _walk_scores(walk: Walk, experiment: Experiment, model: str) -> None:
    name, kind = layout.scores_meta(model), "scores"
    if not (record := walk.record(name)):
        return
    walk.follow(name, OUTPUTS, kind, "scores")
    if INPUTS in record:
        walk.follow(name, INPUTS, kind, "")
    for part in MODEL_DIGESTS:
        walk.agree(kind, (name, f"digests.{part}"), (layout.manifest(model), f"digests.{part}"), "base model")
    data = layout.dataset(experiment.dataset.name)
    walk.compare(name, kind, [data], record.get("digests", {}).get("data"), "training set")


def _walk_model(walk: Walk, experiment: Experiment, model: str) -> None:
    """The template's digest is of its text, and needs no library: a folder of the workflow has only one."""
    name, kind, folder = layout.manifest(model), "models", walk.root / layout.base_model(model)
    if not (record := walk.record(name)):
        return
    if not folder.is_dir():
        walk.deleted.append(model)
        return
    walk.sizes(name, layout.base_model(model))
    code = sorted(folder.glob("*.py")) if experiment.sources[model].trust_remote_code else []
    digests = record.get("digests") or {}
    parts = [folder / "config.json", *weight_files(folder), *code]
    walk.compare(name, kind, parts, digests.get("model"), "base models")
    walk.compare(name, kind, [folder / "tokenizer.json"], digests.get("tokenizer"), "tokenizers")
    if record.get(OUTPUTS) is not None:
        walk.follow(name, OUTPUTS, kind, "")


def _walk_data(walk: Walk, experiment: Experiment) -> None:
    dataset, kind = experiment.dataset, "data"
    name = layout.dataset_counts(dataset.name)
    if not (record := walk.record(name)):
        return
    walk.compare(name, kind, [layout.dataset(dataset.name)], record.get("digest"), "training set")
    if sources := _source(walk.root, experiment, dataset):
        walk.compare(name, kind, sources, record.get("file_digest"), "source of the training set")
    else:
        walk.elsewhere.append(dataset.hub or str(dataset.path))


def _source(root: Path, experiment: Experiment, ref: DataRef) -> list[Path]:
    """The files that a data set was read from; none where they are not on this machine."""
    if experiment.sandbox and ref.hub:
        local: str | None = str(root / inputs.world_file(ref))
    else:
        local = locate(ref, experiment.data_mirror)
    home = root.resolve().parents[1]  # relative paths of a config are relative to where the workflow runs
    try:
        sources = source_files(ref, str(home / local)).files if local else []
    except PrunegridError:
        return []
    return [file.resolve() for file in sources] if all(file.is_file() for file in sources) else []


def _check_identity(walk: Walk, name: str, expected: dict[str, object]) -> None:
    """Whether the record is of the cell in whose folder it lies."""
    for key, value in expected.items():
        if (recorded := walk.record(name).get(key, value)) != value:
            walk.other.append(_another(walk.root / name, key, recorded, value))


def _another(path: Path, key: str, recorded: object, expected: object) -> PrunegridError:
    problem = f"{key} is {recorded}, expected {expected}: the record belongs to another cell"
    return PrunegridError(path, problem, repair(path))
