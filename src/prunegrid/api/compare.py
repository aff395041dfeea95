"""Compare finished evaluations item by item: what `prunegrid stats` does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunegrid.api.comparison_text import report
from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation.item_logs import Choice, ItemLog, item_log, read_item_logs
from prunegrid.statistics.log_differences import Difference, differences
from prunegrid.statistics.log_pairs import Entry, pair_logs

Run = dict[str, ItemLog]
NUMBERS = "scores"


@dataclass(frozen=True)
class Comparison:
    """Each entry against the baseline on each task, then on their mean: `differences`, and `notes` on how.

    Printed, it is the report of `prunegrid stats`. Indexed, it gives a difference: `comparison[0].delta`.
    """

    differences: list[Difference]
    notes: list[str]

    def __getitem__(self, index: int) -> Difference:
        return self.differences[index]

    def __len__(self) -> int:
        return len(self.differences)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    def __str__(self) -> str:
        return report(self.differences, self.notes)

    __repr__ = __str__

    def to_pandas(self) -> pd.DataFrame:
        """A row for each difference, with its fields as columns."""
        return pd.DataFrame([asdict(difference) for difference in self.differences])


def compare(
    *logs: Any,
    names: Sequence[str] | None = None,
    against: str | None = None,
    metric: Choice = None,
    filter: Choice = None,
    cluster: str | None = None,
    common: bool = False,
    any_prompt: bool = False,
) -> Comparison:
    """Test whether models, or recipes, differ on the same items; the first of `logs` is the baseline.

    Each of them is a log: a file or folder that `prunegrid stats` takes, a DataFrame with `id` and `score`, or numbers
    in the order of the items; or a list of logs, the runs of one recipe, whose seeds are in the same order in each.
    `names` call them, `against` names the baseline instead of the first. `metric`, `filter` and `cluster` choose the
    column, lm-eval's filter and the field whose equal values make items dependent. `common` leaves out tasks and items
    that not all have; `any_prompt` compares answers to prompts that differ.
    """
    if len(logs) < 2:
        raise PrunegridError("compare", f"{len(logs)} log is given", "give at least two")
    called = list(names or entry_names(logs))
    if len(called) != len(logs):
        raise PrunegridError("names", f"{len(called)} for {len(logs)} logs", "give one for each")
    baseline = called[0] if against is None else against
    if baseline not in called:
        raise PrunegridError("against", f"is {baseline}, not one of {', '.join(called)}", "give one of them")
    choices = metric, filter, cluster
    entries = [
        Entry(name, [_read(run, name, *choices) for run in _runs(log)]) for name, log in zip(called, logs, strict=True)
    ]
    tasks = list(pair_logs(entries, common, any_prompt))
    notes = [note if len(tasks) == 1 else f"{task.task}: {note}" for task in tasks for note in task.notes]
    return Comparison(differences(tasks, baseline), notes)


def entry_names(logs: Sequence[Any]) -> list[str]:
    """The parts of paths in which they differ first; A, B, ... for what has no path."""
    paths = [Path(log).parts if isinstance(log, str | Path) else () for log in logs]
    if not all(paths):
        return [chr(ord("A") + number) for number in range(len(logs))]
    start = next((i for i, column in enumerate(zip(*paths, strict=False)) if len(set(column)) > 1), 0)
    rest = [str(Path(*parts[start:])) for parts in paths]
    short = [name.partition("/")[0] for name in rest]
    return short if len(set(short)) == len(short) else rest


def _runs(log: Any) -> list[Any]:
    """The runs of an entry: a list of logs, or one log. A list of numbers is one log."""
    is_list = isinstance(log, list | tuple) and bool(log)
    return list(log) if is_list and (np.ndim(log[0]) or isinstance(log[0], str | Path | ItemLog)) else [log]


def _read(log: Any, name: str, metric: Choice, filter: Choice, cluster: str | None) -> Run:
    """The logs of one run by task."""
    if isinstance(log, ItemLog):
        return {log.task: log}
    if isinstance(log, str | Path):
        return dict(read_item_logs(Path(log), metric, filter, cluster))
    return {NUMBERS: item_log(name, _rows(log, name), metric, filter, cluster, task=NUMBERS)}


def _rows(log: Any, name: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """The rows of a DataFrame, or of numbers whose ids are their places (of a Series, its index)."""
    if hasattr(log, "to_dict") and hasattr(log, "columns"):
        return ((f"{name}: row {number}", row) for number, row in enumerate(log.to_dict("records")))
    ids = log.index if hasattr(log, "to_numpy") and hasattr(log, "index") else range(len(log))
    if any(np.ndim(value) for value in log):
        raise PrunegridError(name, "has more than one dimension", "give a list of numbers for each run")
    return ((f"{name}: item {key}", {"id": key, "score": value}) for key, value in zip(ids, log, strict=True))
