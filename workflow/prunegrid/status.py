"""How far a cell is, told from the files and logs that its steps left: failed, stale, or as its files say."""

from collections.abc import Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple

from prunegrid import grid, io, pruners
from prunegrid.config import Experiment
from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell
from prunegrid.step import DONE

UNKNOWN = "not recorded"


class Failure(NamedTuple):
    """The first step of a cell that began and did not end well, and its log."""

    rule: str
    log: Path


def failure(experiment: Experiment, root: Path, cell: Cell) -> Failure | None:
    """The first step that the cell needs whose log exists and whose last line does not start with `done`.

    That line starts with `FAILED:` when the step raised; one that was killed, or still runs, leaves another.
    """
    for log in _logs(experiment, root / "logs", cell):
        if (root / "logs" / log).exists() and not _ended_well(root / "logs" / log):
            return Failure(log.with_suffix("").parts[0], root / "logs" / log)
    return None


def failures(experiment: Experiment, root: Path) -> dict[Cell, Failure]:
    """Every cell that has a `failure`, in the table's order."""
    found = {cell: failure(experiment, root, cell) for cell in grid.cells(experiment)}
    return {cell: failed for cell, failed in found.items() if failed}


def stale(experiment: Experiment, root: Path, cell: Cell) -> bool:
    """Whether what the cell is made of is gone, or was made with other settings than the experiment's.

    Then the evaluation that is still there belongs to a cell that no longer is; so does one of other weights than those
    that are there (a run that ended between a training and its evaluation). The sandbox's seed is the one
    setting that no file records.
    """
    evaluated = any(_differ(found, wanted) for found, wanted in _evaluated(experiment, root, cell))
    return evaluated or any(found != wanted for found, wanted in _settings(experiment, root, cell))


def stale_score(experiment: Experiment, path: Path, benchmark: str) -> bool:
    """Whether the evaluation `path` was made with other settings than the experiment's: a task, a limit, items, ..."""
    evaluation, wanted = experiment.evaluation, experiment.evaluation.benchmarks[benchmark]
    made = values(path, "protocol", "task", "limit", "dtype")
    later = {
        "batch_tokens": evaluation.batch_tokens,
        "device": experiment.device,
        "data": wanted.data.model_dump(mode="json"),
    }
    return made != [evaluation.protocol, wanted.task, wanted.limit, evaluation.dtype] or any(
        _differ(values(path, key, absent=UNKNOWN), [value]) for key, value in later.items()
    )


def _settings(experiment: Experiment, root: Path, cell: Cell) -> Iterator[tuple[list[Any], list[Any]]]:
    """What the files of each step say that they were made with, and what the experiment wants."""
    model = root / "models" / f"{cell.model}.json"
    yield values(model, "source"), [experiment.sources[cell.model].model_dump(mode="json")]
    if cell.trained:
        dataset, scoring = experiment.dataset, experiment.scoring
        yield values(root / "data" / f"{dataset.name}.json", "source"), [dataset.model_dump(mode="json")]
        scores = root / "scores" / cell.model / "meta.json"
        yield values(scores, "max_length", "dtype"), [scoring.max_length, scoring.dtype]
        training = grid.training_of(experiment, cell).model_dump(mode="json")
        report = root / "trained" / cell.model / cell.path / "training.json"
        yield values(report, "training", "seed", "digests"), [training, cell.seed, *values(scores, "digests")]
    if cell.pruned:
        yield from _selected(experiment, root, cell)
    if cell.pruned and not grid.dynamic(experiment, cell):
        selection = root / "pruned" / cell.model / cell.path / "selection.parquet"
        (trained_on,) = values(report, "selection", absent=UNKNOWN)
        if selection.exists() and trained_on != UNKNOWN:
            yield [trained_on], [io.sha256(selection)]


def _evaluated(experiment: Experiment, root: Path, cell: Cell) -> Iterator[tuple[list[Any], list[Any]]]:
    """The digests of what the cell's evaluations were asked of, and of what is there: base model, trained weights."""
    at = Path(cell.model, cell.path)
    models = {"digests.model": values(root / "models" / f"{cell.model}.json", "digests.model", absent=UNKNOWN)}
    if cell.trained:
        models["digests.weights"] = values(root / "trained" / at / "training.json", "weights", absent=UNKNOWN)
    for name in experiment.evaluation.benchmarks:
        record = root / "evaluation" / at / f"{name}.json"
        if record.exists():
            yield from ((values(record, key, absent=UNKNOWN), there) for key, there in models.items())


def _differ(found: list[Any], wanted: list[Any]) -> bool:
    """Whether both are known and not the same."""
    return found != wanted and UNKNOWN not in (*found, *wanted)


def _selected(experiment: Experiment, root: Path, cell: Cell) -> Iterator[tuple[list[Any], list[Any]]]:
    """The settings of a cell's selection, and of what only some variants need for theirs."""
    assert cell.budget
    variant = experiment.variant(cell.variant)
    keys = ("method", "options", "nominal.samples", "nominal.tokens", "seeds.cell")
    wanted: list[Any] = [variant.method, pruners.filled(variant.method, variant.options)]
    wanted += [cell.budget.sample_ratio, cell.budget.token_ratio, cell.seed]
    selection = root / grid.selection_folder(experiment, cell) / "selection.json"
    yield values(selection, *keys), wanted
    yield values(selection, "match", absent=UNKNOWN), [variant.match]
    (foreign,) = values(selection, "foreign_pruners", absent={})
    wanted_versions = {p.name: p.version for p in pruners.members(variant.method) if p.foreign}
    yield [{name: told["version"] for name, told in (foreign or {}).items()}], [wanted_versions]
    if "reference_nll" in grid.extra_columns(experiment, cell):
        reference = f"{cell.model}@reference"
        made = values(root / "models" / f"{reference}.json", "source")
        yield made, [experiment.sources[reference].model_dump(mode="json")]
    if grid.dynamic(experiment, cell):
        yield values(selection, "pruning"), [grid.pruning_of(experiment, cell)]
    if matched := grid.matched_cell(experiment, cell):
        yield from _selected(experiment, root, matched)


def values(path: Path, *keys: str, absent: Any = None) -> list[Any]:
    """The values of dotted keys in a JSON file, all None where there is no file.

    A key that an older version did not write is `absent`, where that is given; else it is an error.
    """
    if not path.exists():
        return [None] * len(keys)
    content = io.read_json(path)
    try:
        return [reduce(getitem, key.split("."), content) for key in keys]
    except (KeyError, TypeError):
        if absent is not None:
            return [absent] * len(keys)
        raise PrunegridError(f"{path}: lacks one of {', '.join(keys)}; {io.repair(path)}") from None


def _logs(experiment: Experiment, logs: Path, cell: Cell) -> list[Path]:
    """The logs of the steps that the cell needs, relative to `logs`, in their order."""
    own = Path(cell.model, f"{cell.path}.log")
    before_pruning = _only_for_some(experiment, cell) if cell.pruned else []
    needs = {
        Path("world.log"): True,
        Path("model", f"{cell.model}.log"): True,
        Path("dataset.log"): cell.trained,
        **dict.fromkeys(_scoring(logs, cell.model), cell.trained),
        **dict.fromkeys(before_pruning, True),
        "prune" / own: cell.pruned and not grid.dynamic(experiment, cell),
        "train" / own: cell.trained,
        "evaluate" / own: True,
    }
    return [log for log, needed in needs.items() if needed]


def _only_for_some(experiment: Experiment, cell: Cell) -> Iterator[Path]:
    """The logs of the steps that only some variants need: optional scores, the reference model, the matched cell."""
    extras = grid.extra_columns(experiment, cell)
    if "reference_nll" in extras:
        yield Path("model", f"{cell.model}@reference.log")
    yield from (Path("extra_score", cell.model, f"{name}.log") for name in extras)
    if matched := grid.matched_cell(experiment, cell):
        yield from _only_for_some(experiment, matched)
        yield Path("prune", cell.model, f"{matched.path}.log")


def _scoring(logs: Path, model: str) -> list[Path]:
    """The logs of the model's shards and of putting them together.

    Those of shards that are older are of another number of shards, or are told by what became of them.
    """
    gathered = Path("gather_scores", f"{model}.log")
    since = (logs / gathered).stat().st_mtime if (logs / gathered).exists() else 0.0
    shards = sorted((logs / "score" / model).glob("*.log"))
    return [*(log.relative_to(logs) for log in shards if log.stat().st_mtime >= since), gathered]


def _ended_well(log: Path) -> bool:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "").startswith(DONE)
