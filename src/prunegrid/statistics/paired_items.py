"""Item by item, the same questions to several models: read from the cells' item files, and refused where they differ.

`prunegrid.statistics.deltas` calls `pair_items`. Two rows are one item where doc_id, doc_hash and filter agree; then
prompt, target and cluster have to agree too. docs/evaluation.md describes the files.
"""

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

KEY = ["doc_id", "doc_hash", "filter"]
PAIRED_COLUMNS = ["prompt_hash", "target_hash", "cluster"]
PAIRED_KEYS = ("protocol", "task", "task_version", "metric", "filter")


@dataclass(frozen=True)
class PairedItems:
    """Item values, 0..1, of cells in the order they were asked for [C, I], and each item's cluster, from 0 [I]."""

    values_CI: Floats
    cluster_I: Ints


@dataclass(frozen=True)
class ItemScores:
    """One cell's items on one benchmark: what was asked of it, and a row an item, in order of `KEY`."""

    record: Path
    asked: dict[str, Any]
    rows: pa.Table

    @property
    def values(self) -> Floats:
        return np.asarray(self.rows["value"], dtype=np.float64)


def pair_items(root: Path, cells: Sequence[Cell], benchmark: str) -> PairedItems:
    """Join the cells' items one to one, reading each file once; `PrunegridError` where they are not the same items."""
    first = read_item_scores(root, cells[0], benchmark)
    values = [first.values]
    for cell in cells[1:]:
        other = read_item_scores(root, cell, benchmark)
        check_same(first, other)
        values.append(other.values)
    cluster_I, _ = pd.factorize(first.rows["cluster"].to_numpy())
    return PairedItems(np.stack(values), cluster_I.astype(np.int64))


def read_item_scores(root: Path, cell: Cell, benchmark: str) -> ItemScores:
    """The rows of the record's `filter`; `PrunegridError` where file and record do not belong together."""
    path = root / layout.score(cell.name, benchmark)
    record = files.read_json(path)
    if lacking := [key for key in (*PAIRED_KEYS, "items_hash") if key not in record]:
        raise PrunegridError(f"{path}: lacks {', '.join(lacking)}; {_again(path)}")
    file = path.with_suffix(".parquet")
    rows = files.read_parquet(file, [*KEY, *PAIRED_COLUMNS, "value"])
    if (found := files.sha256(file)) != record["items_hash"]:
        raise PrunegridError(
            f"{file}: its SHA-256 is {found[:12]}..., but {path.name} says {record['items_hash'][:12]}...: "
            f"not the items of that score; {_again(path)}"
        )
    rows = rows.filter(pc.field("filter") == record["filter"]).sort_by([(key, "ascending") for key in KEY])
    _check(file, rows, record["filter"], path)
    return ItemScores(path, {key: record[key] for key in PAIRED_KEYS}, rows)


def check_same(one: ItemScores, other: ItemScores) -> None:
    """Raise `PrunegridError` unless both are answers to the same items, asked and marked alike."""
    if differing := [key for key in PAIRED_KEYS if one.asked[key] != other.asked[key]]:
        found = "; ".join(f"{key} is {one.asked[key]} and {other.asked[key]}" for key in differing)
        raise PrunegridError(_refusal(one, other, found))
    if not one.rows.select(KEY).equals(other.rows.select(KEY)):
        where = (
            one.rows.select(KEY).to_pandas().merge(other.rows.select(KEY).to_pandas(), how="outer", indicator="side")
        )
        alone = where.loc[where["side"] != "both", "doc_id"]
        raise PrunegridError(_refusal(one, other, f"{_named(alone.to_numpy())} in one only"))
    for column in PAIRED_COLUMNS:
        if not one.rows[column].equals(other.rows[column]):
            differ = one.rows.filter(pc.not_equal(one.rows[column], other.rows[column]))
            raise PrunegridError(_refusal(one, other, f"{_named(differ['doc_id'])} with different {column}"))


def _check(file: Path, rows: pa.Table, chosen: str, record: Path) -> None:
    """No item is absent, without a value or there twice. `rows` are in order of `KEY`."""
    if not len(rows):
        raise PrunegridError(f"{file}: no item of the filter {chosen}; {_again(record)}")
    empty = np.any([pc.is_null(column, nan_is_null=True).to_numpy() for column in rows.columns], axis=0)
    if empty.any():
        raise PrunegridError(f"{file}: {_named(rows.filter(empty)['doc_id'])} with an empty field; {_again(record)}")
    twice = np.all([pc.equal(rows[key][1:], rows[key][:-1]).to_numpy() for key in KEY], axis=0)
    if twice.any():
        raise PrunegridError(f"{file}: {_named(rows[1:].filter(twice)['doc_id'])} there twice; {_again(record)}")


def _refusal(one: ItemScores, other: ItemScores, what: str) -> str:
    return f"{one.record} and {other.record} cannot be paired: {what}; {_again(one.record, other.record)}"


def _named(doc_ids: Any) -> str:
    """`12 items (doc_id 3, 5, 8, ...)`."""
    first = pd.unique(np.asarray(doc_ids))
    more = ", ..." if len(first) > 3 else ""
    return f"{len(doc_ids)} item{'s' * (len(doc_ids) > 1)} (doc_id {', '.join(map(str, first[:3]))}{more})"


def _again(*records: Path) -> str:
    what = "both" if len(records) > 1 else "it"
    return f"evaluate {what} again (in a workflow: rm {' '.join(map(str, records))}, then the same snakemake command)"
