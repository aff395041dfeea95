"""Joins several cells' scores item by item, and refuses cells that were not evaluated on the same items.

`prunegrid.statistics.deltas` calls `pair_items`. Two rows are the same item if doc_id, doc_hash and filter agree; then
prompt, target and cluster must agree too. docs/reference/evaluation.md describes the files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.experiment import layout
from prunegrid.experiment.grid import Cell
from prunegrid.statistics import draws
from prunegrid.tasks.catalog import current_name

KEY = ["doc_id", "doc_hash", "filter"]
ITEM_COLUMNS = ["prompt_hash", "target_hash", "cluster"]
TOLERANCE = 1e-6  # percent: the record's score and the mean of its items are computed in different orders
DRAWS = "draws"  # the column of each answer's value, where items are asked several times
TASK_KEYS = ("protocol", "task", "task_version", "metric", "filter")


@dataclass(frozen=True)
class PairedItems:
    """Item values, 0..1, of cells in the given order [E, I], and each item's cluster, from 0 [I].

    `deviations`: of each cell, those of its answers from their items' means [K, I]; None if they are not known.
    """

    values_EI: Floats
    cluster_I: Ints
    deviations: list[Floats | None]


@dataclass(frozen=True)
class ItemScores:
    """One cell's items on one benchmark: the record's `TASK_KEYS`, and a row per item, in order of `KEY`.

    `drawn`: whether answers are sampled; None if the record cannot tell.
    """

    record: Path
    task: dict[str, Any]
    rows: pa.Table
    drawn: bool | None = False

    @property
    def values(self) -> Floats:
        return np.asarray(self.rows["value"], dtype=np.float64)

    @property
    def deviations(self) -> Floats | None:
        """Of each answer's value from its item's mean [K, I]; None for single draws, whose luck cannot be told."""
        if self.drawn is False:
            return draws.fixed(len(self.rows))
        if DRAWS not in self.rows.column_names:
            return None
        return draws.deviations(np.array(self.rows[DRAWS].to_pylist(), dtype=np.float64).T)


def pair_items(root: Path, cells: Sequence[Cell], benchmark: str) -> PairedItems:
    """Join the cells' items one to one, reading each file once; `PrunegridError` if they are not the same items."""
    first = read_item_scores(root, cells[0], benchmark)
    values, deviations = [first.values], [first.deviations]
    for cell in cells[1:]:
        other = read_item_scores(root, cell, benchmark)
        check_same_items(first, other)
        values.append(other.values)
        deviations.append(other.deviations)
    cluster_I, _ = pd.factorize(first.rows["cluster"].to_numpy())
    return PairedItems(np.stack(values), cluster_I.astype(np.int64), deviations)


def read_item_scores(root: Path, cell: Cell, benchmark: str, texts: Sequence[str] = ()) -> ItemScores:
    """The rows of the record's `filter`; `PrunegridError` if file and record do not belong together.

    `texts` are further columns that are read where the file has them: older files, and those of other tools, do not.
    """
    record, file, path = _read_record(root, cell, benchmark)
    names = files.parquet_schema(file).names
    repeated = [name for name in (DRAWS, *texts) if name in names]
    rows = _read_rows(record, file, path, [*KEY, *ITEM_COLUMNS, "value", *repeated])
    rows = rows.sort_by([(key, "ascending") for key in KEY])
    _check_rows(file, rows.drop(repeated), record["filter"], path)
    task = {key: record[key] for key in TASK_KEYS}
    task["task"] = current_name(record["task"], record.get("task_hash"))
    return ItemScores(path, task, rows, _is_drawn(record, DRAWS in names))


def _is_drawn(record: dict[str, Any], repeated: bool) -> bool | None:
    """Whether the record's answers are sampled; None for imported ones. Old records of a temperature lack `sampled`."""
    if "imported" in record:
        return None
    return repeated or bool(record.get("sampled") or record.get("gen_kwargs", {}).get("temperature"))


def check_score(root: Path, cell: Cell, benchmark: str, record: dict[str, Any]) -> None:
    """Refuse the `record` of this score if the score, in percent, is not the mean of its own items."""
    path, file = root / layout.score(cell.name, benchmark), root / layout.answers(cell.name, benchmark)
    _check_keys(path, record)
    rows = _read_rows(record, file, path, ["filter", "value"])
    mean = 100 * (pc.mean(rows["value"]).as_py() if len(rows) else math.nan)
    if not abs(mean - record["score"]) <= TOLERANCE:
        problem = f"score is {record['score']}, but the mean of {file.name} is {mean}"
        raise PrunegridError(path, problem, _evaluate_again(path))


def _read_record(root: Path, cell: Cell, benchmark: str) -> tuple[dict[str, Any], Path, Path]:
    """A score's record, the file of its items, and the record's own path."""
    path = root / layout.score(cell.name, benchmark)
    record = files.read_json(path)
    _check_keys(path, record)
    return record, root / layout.answers(cell.name, benchmark), path


def _check_keys(path: Path, record: dict[str, Any]) -> None:
    if missing := [key for key in (*TASK_KEYS, "items_hash") if key not in record]:
        raise PrunegridError(path, f"lacks {', '.join(missing)}", _evaluate_again(path))


def _read_rows(record: dict[str, Any], file: Path, path: Path, columns: list[str]) -> pa.Table:
    """The items of the record's filter, from the file that the record names by its digest."""
    rows = files.read_parquet(file, columns)
    if (digest := files.sha256(file)) != record["items_hash"]:
        problem = f"its SHA-256 is {digest[:12]}..., but {path.name} says {record['items_hash'][:12]}...: these are not"
        raise PrunegridError(file, f"{problem} the items of that score", _evaluate_again(path))
    return rows.filter(pc.field("filter") == record["filter"])


def check_same_items(first: ItemScores, other: ItemScores) -> None:
    """Raise `PrunegridError` unless both are answers to the same items, prompted and scored in the same way."""
    if finding := disagreement(first, other):
        place = f"{first.record} and {other.record}"
        raise PrunegridError(place, f"cannot be paired: {finding}", _evaluate_again(first.record, other.record))


def disagreement(first: ItemScores, other: ItemScores) -> str:
    """What differs besides the answers; empty if nothing does."""
    if keys := [key for key in TASK_KEYS if first.task[key] != other.task[key]]:
        return "; ".join(f"{key} is {first.task[key]} and {other.task[key]}" for key in keys)
    if not first.rows.select(KEY).equals(other.rows.select(KEY)):
        keys, other_keys = (scores.rows.select(KEY).to_pandas() for scores in (first, other))
        joined = keys.merge(other_keys, how="outer", indicator="side")
        return f"{_item_names(joined.loc[joined['side'] != 'both', 'doc_id'])} in only one of them"
    for column in ITEM_COLUMNS:
        if not first.rows[column].equals(other.rows[column]):
            rows = first.rows.filter(pc.not_equal(first.rows[column], other.rows[column]))
            return f"{_item_names(rows['doc_id'])} with different {column}"
    return ""


def _check_rows(file: Path, rows: pa.Table, filter_name: str, record: Path) -> None:
    """Refuse a file without items, or one in which an item is incomplete or a duplicate. Rows are in order of `KEY`."""
    fix = _evaluate_again(record)
    if not len(rows):
        raise PrunegridError(file, f"has no item of the filter {filter_name}", fix)
    empty = np.any([pc.is_null(column, nan_is_null=True).to_numpy() for column in rows.columns], axis=0)
    if empty.any():
        raise PrunegridError(file, f"{_item_names(rows.filter(empty)['doc_id'])} with an empty field", fix)
    duplicate = np.all([pc.equal(rows[key][1:], rows[key][:-1]).to_numpy() for key in KEY], axis=0)
    if duplicate.any():
        raise PrunegridError(file, f"{_item_names(rows[1:].filter(duplicate)['doc_id'])} more than once", fix)


def _item_names(doc_ids: Any) -> str:
    """`12 items (doc_id 3, 5, 8, ...)`."""
    numbers = pd.unique(np.asarray(doc_ids))
    dots = ", ..." if len(numbers) > 3 else ""
    return f"{len(doc_ids)} item{'s' * (len(doc_ids) > 1)} (doc_id {', '.join(map(str, numbers[:3]))}{dots})"


def _evaluate_again(*records: Path) -> str:
    pronoun = "both" if len(records) > 1 else "it"
    paths = " ".join(map(str, records))
    return f"evaluate {pronoun} again (in a workflow: rm {paths}, then the same snakemake command)"
