"""Per-item scores of finished evaluations, whoever made them: what `prunegrid stats` and imported benchmarks read.

    log = read_item_log(Path("out/samples_gsm8k_2026-11-27.jsonl"), filter="strict-match")
    logs = read_item_logs(Path("out"))  # by task: an output folder of lm-eval, a cell of prunegrid

A file is told by its rows: prunegrid's item files, lm-eval's `samples_*.jsonl`, or rows with an id and a score
(`item_log_rows`). Nothing is left out: a row without a score, a duplicate, a choice that is not made is an error.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.core.ragged import Floats
from prunegrid.data.formats import file_rows
from prunegrid.evaluation.item_log_rows import SCORES, ItemRow, Kind, find_kind, row_reader
from prunegrid.experiment import layout

Choice = str | Sequence[str] | None
"""A name, or names of which the first that a log has is meant."""
TIME = r"\d{4}-\d\d-\d\dT[\d.+-]+"
NAMES = (rf"samples_(?P<task>.+?)_{TIME}\.jsonl(\.\w+)?", rf"{TIME}_(?P<task>.+)_\w+\.json")
"""The names of lm-eval's logs, and of inspect-ai's."""
INSPECT = re.compile(rb'\s*\{\s*"version":\s*\d+,\s*"status":\s*"\w+",\s*"eval":')
HEAD = 1000  # bytes
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")


@dataclass(frozen=True)
class ItemLog:
    """The scores of one model on the items of one task.

    `rows`: a row for each item in order of `item`, its key: `value`, and where they are known `cluster`, `prompt` and
    `target` (digests or texts; else None in all rows), and `draws`, the values of several answers. `values` are 0..1,
    unless the metric has another scale; each is the mean of `n_answers` to the item.
    """

    source: str
    kind: Kind
    task: str
    metric: str
    filter: str | None
    rows: pd.DataFrame
    n_answers: int = 1

    @property
    def values(self) -> Floats:
        return self.rows["value"].to_numpy(np.float64)

    @property
    def draws(self) -> Floats | None:
        """The values of each item's answers [K, I]; None if they are not known."""
        return None if self.rows["draws"].isna().any() else np.array(self.rows["draws"].tolist(), np.float64).T

    @property
    def has_own_scale(self) -> bool:
        """Whether values lie outside of 0..1: percentages, BLEU, log-probabilities."""
        return bool(((self.values < 0) | (self.values > 1)).any())

    def __len__(self) -> int:
        return len(self.rows)


def read_item_logs(
    path: Path, metric: Choice = None, filter: Choice = None, cluster: str | None = None
) -> dict[str, ItemLog]:
    """The logs of a file or of a folder, by task. Two logs of one task in a folder are an error."""
    if not path.is_dir():
        log = read_item_log(path, metric, filter, cluster)
        return {log.task: log}
    logs: dict[str, ItemLog] = {}
    for file in _log_files(path):
        log = read_item_log(file, metric, filter, cluster)
        if log.task in logs:
            problem = f"has two logs of {log.task}: {Path(logs[log.task].source).relative_to(path)} and "
            raise PrunegridError(path, problem + str(file.relative_to(path)), "give one of the files, or a subfolder")
        logs[log.task] = log
    return logs


def read_item_log(path: Path, metric: Choice = None, filter: Choice = None, cluster: str | None = None) -> ItemLog:
    """The scores in one file, under `metric` and `filter`; both may be left out where the file has one.

    `cluster` is a field of the rows or of their documents: items that share its value are not independent. Raises
    `PrunegridError` for a file that is no log, an item without a number or twice, and a choice that is left open.
    """
    record = _record(path)
    benchmark, chosen = (record.get("benchmark"), record["filter"]) if record else (None, None)
    return item_log(str(path), _rows(path), metric, filter or chosen, cluster, benchmark, record.get("metric"))


def item_log(
    source: str,
    rows: Iterable[tuple[str, Record]],
    metric: Choice = None,
    filter: Choice = None,
    cluster: str | None = None,
    task: str | None = None,
    known_metric: str | None = None,
) -> ItemLog:
    """The log in rows, each with its place for messages. `known_metric` is that of prunegrid's `value`."""
    placed = iter(rows)
    first = next(placed, None)
    if first is None:
        raise PrunegridError(source, "holds no rows", "give a log with at least one item")
    kind = find_kind(source, first[1])
    read = row_reader(kind, cluster, _names(metric))
    items = [read(place, values) for place, values in _chain(first, placed)]
    chosen = _choice(source, "filter", {item.filter for item in items if item.filter is not None}, filter)
    items = [item for item in items if item.filter == chosen]
    metrics = dict.fromkeys(name for item in items for name in item.scores)
    if not metrics:
        problem = f"has no score, only {', '.join(first[1])}"
        raise PrunegridError(source, problem, f"name a column {' or '.join(SCORES[:4])}, or give --metric COLUMN")
    name = known_metric or "value" if kind == "prunegrid" else _choice(source, "metric", metrics, metric)
    if kind == "prunegrid" and metric and name not in _names(metric):
        raise PrunegridError(source, f"holds the metric {name}, not {metric}", "leave --metric out")
    frame = _frame(source, items, "value" if kind == "prunegrid" else str(name))
    n_answers = int(frame["n_answers"].iloc[0])
    return ItemLog(source, kind, task or _task(Path(source)), str(name), chosen, frame, n_answers)


def _chain(first: tuple[str, Record], rest: Iterator[tuple[str, Record]]) -> Iterator[tuple[str, Record]]:
    yield first
    yield from rest


def _rows(path: Path) -> Iterator[tuple[str, Record]]:
    """The rows of a file, each with its place; of a log of inspect-ai its samples."""
    if path.suffix == ".eval":
        fix = f"write it as JSON: inspect log dump {path} > {path.stem}.json"
        raise PrunegridError(path, "is a log of inspect-ai in its binary form", fix)
    if log := _inspect_log(path):
        yield from ((f"{path}: sample {number}", row) for number, row in enumerate(log["samples"], 1))
        return
    for place, values in file_rows(path):
        if isinstance(values, PrunegridError):
            raise values
        yield place, values


def _inspect_log(path: Path) -> Record:
    """The content of a JSON log of inspect-ai; {} of any other file."""
    if path.suffix != ".json" or not path.is_file():
        return {}
    with path.open("rb") as file:
        if not INSPECT.match(file.read(HEAD)):
            return {}
    log: Record = files.read_json(path, "write the log again")
    if not log.get("samples"):
        raise PrunegridError(path, "is a log of inspect-ai without samples", "write it with --log-samples")
    return log


def _record(path: Path) -> Mapping[str, Any]:
    """The record beside an item file of prunegrid, whose digest must be that file's; {} if there is none."""
    file = path.with_suffix(".json")
    if path.suffix != ".parquet" or not file.is_file():
        return {}
    record = files.read_json(file)
    if not isinstance(record, dict) or not {"filter", "metric", "items_hash"} <= record.keys():
        return {}
    if (digest := files.sha256(path)) != record["items_hash"]:
        problem = f"its SHA-256 is {digest[:12]}..., but {file.name} says {record['items_hash'][:12]}..."
        raise PrunegridError(path, f"{problem}: the items do not belong to that score", "re-evaluate it")
    return record


def _log_files(folder: Path) -> list[Path]:
    """lm-eval's sample logs below the folder; else HELM's, prunegrid's item files or other tables, directly in it."""
    if samples := sorted(folder.rglob("samples_*.jsonl*")):
        return samples
    if (helm := folder / "per_instance_stats.json").is_file():
        return [helm]
    logs = sorted(file for file in folder.iterdir() if file.is_file() and _ending(file) in ENDINGS)
    tables = {file.with_suffix("") for file in logs if file.suffix == ".parquet"}
    # a record lies beside prunegrid's item files, under the same name
    logs = [file for file in logs if not (file.suffix == ".json" and file.with_suffix("") in tables)]
    if not logs:
        cells = ", or a cell's folder below it" if (folder / layout.EXPERIMENT).is_file() else ""
        endings = ", ".join(ENDINGS)
        raise PrunegridError(folder, "holds no log of items", f"give a file, or a folder of {endings}{cells}")
    return logs


def _ending(file: Path) -> str:
    suffixes = [suffix for suffix in file.suffixes if suffix not in (".gz", ".zst", ".bz2", ".xz", ".lz4")]
    return suffixes[-1].lower() if suffixes else ""


def _task(path: Path) -> str:
    """The task in the file's name as lm-eval or inspect-ai writes it, else the name without its endings."""
    match = next(filter(None, (re.fullmatch(name, path.name) for name in NAMES)), None)
    return match["task"] if match else path.name.partition(".")[0]


def _names(choice: Choice) -> list[str]:
    return choice.split(",") if isinstance(choice, str) else list(choice or ())


def _choice(source: str, kind: str, available: Iterable[str], choice: Choice) -> str | None:
    """The first of `choice` that is available; without a choice the only one, None if nothing is there."""
    options, names = sorted(available), _names(choice)
    if chosen := [name for name in names if name in options]:
        return chosen[0]
    if names and options:
        raise PrunegridError(
            source, f"has no {kind} {', '.join(names)}, only {', '.join(options)}", f"give --{kind} {options[0]}"
        )
    if len(options) > 1:
        raise PrunegridError(
            source, f"has several {kind}s: {', '.join(options)}", f"give --{kind} {options[0]}, or another"
        )
    return options[0] if options else None


def _frame(source: str, items: Sequence[ItemRow], metric: str) -> pd.DataFrame:
    """The items' rows in order of their keys; an error if one is there twice or has no number."""
    values = [item.scores.get(metric) for item in items]
    if missing := [item for item, value in zip(items, values, strict=True) if value is None or not np.isfinite(value)]:
        problem = f"{len(missing)} of {len(items)} items have no finite {metric}, the first at {missing[0].place}"
        raise PrunegridError(source, problem, "score them, or take them out of all logs")
    columns = {
        name: [getattr(item, name) for item in items]
        for name in ("item", "cluster", "prompt", "target", "epoch", "n_answers", "draws")
    }
    frame = _mean_answers(pd.DataFrame(columns | {"value": values}))
    frame = frame.sort_values("item", kind="stable", ignore_index=True)
    if (repeated := frame["item"].duplicated()).any():
        names = ", ".join(map(str, frame.loc[repeated, "item"].unique()[:3]))
        problem = f"{int(repeated.sum())} of {len(frame)} rows repeat the id of another one ({names})"
        raise PrunegridError(source, problem, "give each item one row; for several runs, give a log for each")
    return frame


def _mean_answers(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per item with the mean over its epochs, if every item has the same epochs once; else `rows`."""
    epochs = rows["epoch"].unique()
    if rows["epoch"].isna().any() or len(epochs) == 1:
        return rows
    groups = rows.groupby("item", sort=False)
    if rows.duplicated(["item", "epoch"]).any() or not (groups.size() == len(epochs)).all():
        return rows
    first = rows.drop_duplicates("item").set_index("item")
    draws = rows.sort_values("epoch", kind="stable").groupby("item", sort=False)["value"].agg(tuple)
    return first.assign(value=groups["value"].mean(), n_answers=len(epochs), draws=draws).reset_index()
