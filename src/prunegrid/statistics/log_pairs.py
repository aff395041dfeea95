"""Joins logs of items task by task, and refuses those that are not answers to the same items.

`prunegrid stats` compares entries: each a model, or a recipe with several runs. `docs/how-to/compare-models.md`
describes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.evaluation.item_logs import ItemLog
from prunegrid.statistics.draws import deviations

Run = Mapping[str, ItemLog]
"""The logs of one trained model, by task."""


@dataclass(frozen=True)
class Entry:
    """A model, or a recipe with a run for each seed, the same order of seeds in all entries."""

    name: str
    runs: Sequence[Run]


@dataclass(frozen=True)
class TaskScores:
    """The values of each entry's runs on the same items [R, I], by entry, and the cluster of each item, from 0 [I].

    `deviations`: of each run's answers from their items' means [K, I]; None where they are not known.
    `notes` say what a reader must know: items that were left out, prompts that differ, clusters, a scale.
    """

    task: str
    metric: str
    filter: str | None
    values: dict[str, Floats]
    cluster_I: Ints
    is_clustered: bool
    has_own_scale: bool
    notes: tuple[str, ...]
    deviations: dict[str, list[Floats | None]]


def pair_logs(entries: Sequence[Entry], common: bool = False, any_prompt: bool = False) -> Iterator[TaskScores]:
    """The scores on each task that all runs have, joined item by item.

    With `common`, tasks and items that only some runs have are left out and counted; else they are an error. With
    `any_prompt`, the same items may have been asked in other words.
    """
    _check_runs(entries)
    entries = _same_tasks(entries)
    shared = set.intersection(*(set(run) for entry in entries for run in entry.runs))
    tasks = list(dict.fromkeys(task for entry in entries for run in entry.runs for task in run))
    absent = [task for task in tasks if task not in shared]
    if absent and not (common and shared):
        names = ", ".join(absent)
        fix = "compare what all have with --common" if shared else "give logs of the same tasks"
        raise PrunegridError(" and ".join(entry.name for entry in entries), f"some have no log of {names}", fix)
    for task in tasks:
        if task in shared:
            scores = _pair_task(task, entries, common, any_prompt)
            notes = (f"left out, because some logs lack them: {', '.join(absent)}",) if absent else ()
            yield replace(scores, notes=(*scores.notes, *notes))


def _check_runs(entries: Sequence[Entry]) -> None:
    """Runs are paired: as many in each entry, or one that is paired with each of the others'."""
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise PrunegridError(", ".join(names), "two entries have one name", "write NAME=path for each")
    counts = {len(entry.runs) for entry in entries}
    if len(counts - {1}) > 1:
        numbers = ", ".join(f"{entry.name} has {len(entry.runs)}" for entry in entries)
        raise PrunegridError("runs", numbers, "give each recipe the same number, in the same order of seeds, or one")


def _same_tasks(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Single logs are compared whatever their files are called."""
    if any(len(run) > 1 for entry in entries for run in entry.runs):
        return entries
    (task,) = entries[0].runs[0]
    return [Entry(entry.name, [{task: log} for run in entry.runs for log in run.values()]) for entry in entries]


def _pair_task(task: str, entries: Sequence[Entry], common: bool, any_prompt: bool) -> TaskScores:
    logs = [run[task] for entry in entries for run in entry.runs]
    _check_metrics(logs)
    logs, left_out = _same_items(logs, common)
    notes = [left_out] if left_out else []
    for column in ("prompt", "target"):
        if difference := _difference(logs, column):
            if column == "target" or not any_prompt:
                fix = "give logs of the same task and version"
                fix += ", or --any-prompt if only the chat templates differ" if column == "prompt" else ""
                raise PrunegridError(_sources(logs), difference, fix)
            notes.append(difference.replace("cannot be paired: ", ""))
    cluster_I, is_clustered = _clusters(logs)
    own_scale = any(log.has_own_scale for log in logs)
    notes += [f"{logs[0].metric} is not on the scale 0..1"] if own_scale else []
    answers = sorted({log.n_answers for log in logs})
    notes += [f"values are means of {' or '.join(map(str, answers))} answers"] if answers != [1] else []
    rows = iter(logs)
    runs = {entry.name: [next(rows) for _ in entry.runs] for entry in entries}
    values = {name: np.stack([log.values for log in own]) for name, own in runs.items()}
    drawn = {name: [None if log.draws is None else deviations(log.draws) for log in own] for name, own in runs.items()}
    choice = logs[0].metric, logs[0].filter
    return TaskScores(task, *choice, values, cluster_I, is_clustered, own_scale, tuple(notes), drawn)


def _check_metrics(logs: Sequence[ItemLog]) -> None:
    for log in logs:
        for name, value, first in (("metric", log.metric, logs[0].metric), ("filter", log.filter, logs[0].filter)):
            if log.kind == logs[0].kind != "other" and value != first:
                problem = f"cannot be paired: their {name}s are {first} and {value}"
                raise PrunegridError(_sources([logs[0], log]), problem, f"give --{name}")


def _same_items(logs: Sequence[ItemLog], common: bool) -> tuple[list[ItemLog], str]:
    """The logs with the items that all have; and what was left out, in words."""
    keys = [pd.Index(log.rows["item"]) for log in logs]
    shared = keys[0]
    for other in keys[1:]:
        shared = shared.intersection(other, sort=False)
    more = [(log, key.difference(shared)) for log, key in zip(logs, keys, strict=True) if len(key) > len(shared)]
    if not more:
        return [_reordered(log, shared) for log in logs], ""
    if not common or not len(shared):
        _, rest = more[0]
        examples = ", ".join(map(str, rest[:3]))
        sizes = ", ".join(f"{len(key):,}" for key in keys)
        problem = f"cannot be paired: {sizes} items, of which {len(shared):,} are in all; not in all: {examples}"
        fix = "compare these with --common" if len(shared) else "give logs of the same task and version"
        raise PrunegridError(_sources(logs), problem + ", ..." * (len(rest) > 3), fix)
    counts = ", ".join(f"{len(rest):,} of {len(log):,} in {log.source}" for log, rest in more)
    return [_reordered(log, shared) for log in logs], f"items left out, since some logs lack them: {counts}"


def _reordered(log: ItemLog, items: pd.Index) -> ItemLog:
    return replace(log, rows=log.rows.set_index("item").loc[items].reset_index())


def _difference(logs: Sequence[ItemLog], column: str) -> str:
    """What differs in the column between logs that know it, in words."""
    known = [log for log in logs if log.kind == logs[0].kind and log.rows[column].notna().all()]
    for log in known[1:]:
        differs = log.rows[column].to_numpy() != known[0].rows[column].to_numpy()
        if differs.any():
            return f"cannot be paired: {differs.sum():,} of {len(log):,} items differ in {column}"
    return ""


def _clusters(logs: Sequence[ItemLog]) -> tuple[Ints, bool]:
    """Each item's cluster, and whether any has two items; each item is its own where no log names clusters."""
    known = [pd.factorize(log.rows["cluster"])[0] for log in logs if log.rows["cluster"].notna().all()]
    if not known:
        return np.arange(len(logs[0]), dtype=np.int64), False
    if any(not np.array_equal(known[0], other) for other in known[1:]):
        raise PrunegridError(_sources(logs), "cannot be paired: their clusters differ", "give --cluster FIELD")
    return known[0].astype(np.int64), bool(known[0].max() + 1 < len(known[0]))


def _sources(logs: Sequence[ItemLog]) -> str:
    return " and ".join(dict.fromkeys(log.source for log in logs))
