"""What a cell's records were made from, against what lies there: reasons that Snakemake often does not see.

It goes by times, and a copy, a swap or an edit can keep them. Only records are compared here: `status` reads no large
file (docs/explanation/reliability.md says who does).
"""

from collections.abc import Iterator
from dataclasses import replace

from prunegrid.core import files as core_files
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.status.folder import UNKNOWN, Files
from prunegrid.status.reason import EVALUATED, PRUNED, TRAINED, Reason, was


def record_reasons(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """The records of a trained cell that are another cell's, or not what the record of the next step names."""
    training = layout.training(cell.name)
    if cell.pruned and grid.dynamic(experiment, cell):
        yield from _foreign_reasons(experiment, files, cell, (training,))
        named, summary = _named(files, training, "sha256"), grid.selection_summary(experiment, cell)
        if files.exists(summary) and _differs(files, summary, named.get(layout.SUMMARY)):
            yield Reason(layout.SUMMARY, TRAINED, (training,))
    elif cell.pruned:
        summary = f"{layout.pruned(cell.name)}/{layout.SUMMARY}"
        made = (summary, *layout.selection(cell.name, experiment.pruning.shards))
        foreign = list(_foreign_reasons(experiment, files, cell, made))
        yield from foreign
        yield from _changed_inputs(files, summary, PRUNED, made)
        yield from _changed_inputs(files, training, TRAINED, _made_again(files, cell))
        for reason in _selection_reasons(experiment, files, cell):
            # Of a selection that is another cell's, the one that is made anew may be the one trained on.
            yield replace(reason, remove=()) if foreign else reason
    if files.value(training, "seed") not in (None, cell.seed):
        yield Reason("seed", was(str(files.value(training, "seed")), str(cell.seed)), (training,))
    for benchmark in experiment.evaluation.benchmarks:
        yield from _changed_inputs(files, layout.score(cell.name, benchmark), EVALUATED, (training,))


def _selection_reasons(experiment: Experiment, files: Files, cell: Cell) -> Iterator[Reason]:
    """Whether a static cell was trained on another selection than the current one."""
    folder, training = layout.pruned(cell.name), layout.training(cell.name)
    parts = layout.selection(cell.name, experiment.pruning.shards)
    used = files.value(training, "selection", absent=UNKNOWN)
    if used in (None, UNKNOWN) or not all(map(files.exists, parts)):
        return
    recorded = files.value(f"{folder}/{layout.SUMMARY}", "selection", absent=UNKNOWN)
    if used == recorded:
        return
    current = core_files.sha256(*(files.root / part for part in parts))
    if recorded in (None, UNKNOWN) and used == current:
        return
    # Of a selection that is not its summary's, nobody knows what it is: it is pruned again, which trains again.
    is_damaged = recorded not in (None, UNKNOWN, current)
    remove = (*parts,) if is_damaged else (training,) if files.is_unseen(training, parts[-1]) else ()
    yield Reason("selection", TRAINED, remove)


def _foreign_reasons(experiment: Experiment, files: Files, cell: Cell, remove: tuple[str, ...]) -> Iterator[Reason]:
    """Whether the selection is another cell's: its variant, budget and seed are in the folder's own name."""
    assert cell.budget
    summary = grid.selection_summary(experiment, cell)
    if not files.exists(summary):
        return
    keys = ("nominal.samples", "nominal.tokens", "seeds.cell")
    recorded = [files.value(summary, "variant", absent=cell.variant), *files.values(summary, *keys)]
    current = [cell.variant, cell.budget.sample_ratio, cell.budget.token_ratio, cell.seed]
    names = ("selection variant", "sample_ratio", "token_ratio", "seed")
    for name, former, value in zip(names, recorded, current, strict=True):
        if former != value:
            yield Reason(name, was(str(former), str(value)), remove)


def _made_again(files: Files, cell: Cell) -> tuple[str, ...]:
    """What to remove of a cell whose selection's summary has changed: the summary, whose making gives what it was.

    Where another version would write it, that is not so, and the model is trained again.
    """
    summary, training = f"{layout.pruned(cell.name)}/{layout.SUMMARY}", layout.training(cell.name)
    versions = [files.value(summary, "version", absent=UNKNOWN), files.value(training, "versions.prunegrid", absent="")]
    return (summary,) if versions[0] == versions[1] else (training,)


def _changed_inputs(files: Files, record: str, made: str, remove: tuple[str, ...]) -> Iterator[Reason]:
    """The records among the `inputs` of this record that are not what it names."""
    if not files.exists(record):
        return
    for name, digest in _named(files, record, "inputs").items():
        is_changed = name.endswith(".json") and files.exists(name) and _differs(files, name, digest)
        if is_changed and not _is_same_selection(files, record, name):
            is_own = name.startswith((layout.pruned(""), layout.trained("")))
            yield Reason(name.rpartition("/")[2] if is_own else name, made, remove)


def _is_same_selection(files: Files, record: str, name: str) -> bool:
    """Whether `name` is a selection's summary that another version has written anew, of the selection that was used.

    Its digest is another then, since it holds the version. A lost summary must not cost a training; `prunegrid verify`
    recomputes its numbers. Of a matched selection `_match_reasons` compares the counts.
    """
    if not (name.startswith(layout.pruned("")) and name.endswith(layout.SUMMARY)):
        return False
    maker = "version" if record.endswith(layout.SUMMARY) else "versions.prunegrid"
    if files.value(name, "version", absent=UNKNOWN) == files.value(record, maker, absent=UNKNOWN):
        return False
    used, current = (files.value(each, "selection", absent=UNKNOWN) for each in (record, name))
    return record.endswith(layout.SUMMARY) or used == current != UNKNOWN


def _named(files: Files, record: str, key: str) -> dict[str, str]:
    """A record's map from files to their SHA-256; empty in records of older versions."""
    sums = files.value(record, key, absent={}) if files.exists(record) else {}
    return sums if isinstance(sums, dict) else {}


def _differs(files: Files, name: str, digest: str | None) -> bool:
    return digest is not None and files.digest(name) != digest
