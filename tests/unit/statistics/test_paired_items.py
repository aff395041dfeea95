"""Pairing of items: one to one by hand, in whatever order they were written; what cannot be paired is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from prunegrid.core import files
from prunegrid.experiment.grid import Cell
from prunegrid.statistics.paired_items import pair_items
from support.errors import refused
from support.item_files import cell, item_rows, write_items

QTUNING, RANDOM = cell("qtuning"), cell("random+random")


def test_pairs_by_hand(tmp_path: Path) -> None:
    """Two filters in each file, rows of the second backwards; items 0 and 2 share a passage."""
    first = pd.concat([item_rows([1, 0, 0.5], "aba"), item_rows([9, 9, 9], "aba", chosen="strict")])
    write_items(tmp_path, QTUNING, "SQuAD", first)
    write_items(
        tmp_path,
        RANDOM,
        "SQuAD",
        pd.concat([item_rows([0, 1, 0.25], "aba")[::-1], item_rows([8, 8, 8], "aba", chosen="strict")]),
    )
    paired = pair_items(tmp_path, [QTUNING, RANDOM], "SQuAD")
    assert paired.values_EI.tolist() == [[1, 0, 0.5], [0, 1, 0.25]]
    assert paired.cluster_I.tolist() == [0, 1, 0]


def test_same_doc_id_of_different_documents_is_not_paired(tmp_path: Path) -> None:
    other = item_rows([1, 0, 1])
    other.loc[1, "doc_hash"] = "elsewhere"
    with refused(f"{record(tmp_path, QTUNING)} and {record(tmp_path, RANDOM)}", "2 items (doc_id 1)"):
        pair_of(tmp_path, item_rows([1, 0, 1]), other)


def record(root: Path, cell: Cell) -> Path:
    return root / "evaluation" / cell.model / cell.path / "B.json"


def pair_of(root: Path, one: pd.DataFrame, other: pd.DataFrame, **changes: Any) -> Any:
    write_items(root, QTUNING, "B", one)
    write_items(root, RANDOM, "B", other, **changes)
    return pair_items(root, [QTUNING, RANDOM], "B")


def changed(column: str, value: Any, at: int = 2) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(items: pd.DataFrame) -> pd.DataFrame:
        return items.assign(**{column: [value if i == at else old for i, old in enumerate(items[column])]})

    return change


@pytest.mark.parametrize(
    ("change", "items", "column"),
    [
        (lambda items: items[1:-1], "2 items (doc_id 0, 5)", ""),
        (lambda items: items[:1], "5 items (doc_id 1, 2, 3, ...)", ""),
        (changed("prompt_hash", "x"), "1 item (doc_id 2)", "prompt_hash"),
        (changed("target_hash", "x"), "1 item (doc_id 2)", "target_hash"),
        (changed("cluster", "x"), "1 item (doc_id 2)", "cluster"),
    ],
)
def test_different_items_are_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], items: str, column: str
) -> None:
    same = item_rows([1, 0, 1, 1, 0, 0])
    one, other = record(tmp_path, QTUNING), record(tmp_path, RANDOM)
    with refused(f"{one} and {other}", items, column, fix=f"rm {one} {other}"):
        pair_of(tmp_path, same, change(same))


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (lambda items: pd.concat([items, items[2:4]]), "2 items (doc_id 2, 3)"),
        (changed("value", np.nan), "1 item (doc_id 2)"),
        (lambda items: items.assign(filter="strict"), "none"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], value: str) -> None:
    same = item_rows([1, 0, 1, 1])
    file = record(tmp_path, RANDOM)
    with refused(file.with_suffix(".parquet"), value, fix=f"rm {file},"):
        pair_of(tmp_path, same, change(same))


@pytest.mark.parametrize("key", ["protocol", "task", "task_version", "metric"])
def test_scores_of_different_kinds_are_refused(tmp_path: Path, key: str) -> None:
    with refused(f"{record(tmp_path, QTUNING)} and {record(tmp_path, RANDOM)}", f"{key} is", 7):
        pair_of(tmp_path, item_rows([1, 0]), item_rows([1, 0]), **{key: 7})


def test_different_filters_are_refused(tmp_path: Path) -> None:
    with refused(f"{record(tmp_path, QTUNING)} and {record(tmp_path, RANDOM)}", "filter is none and strict"):
        pair_of(tmp_path, item_rows([1, 0]), item_rows([1, 0], chosen="strict"), filter="strict")


def test_items_of_another_evaluation_are_refused(tmp_path: Path) -> None:
    """The record of one run beside the items of another, though they have the same keys."""
    items = write_items(tmp_path, QTUNING, "B", item_rows([1, 0])).with_suffix(".parquet")
    pq.write_table(
        pq.read_table(write_items(tmp_path, RANDOM, "B", item_rows([1, 1])).with_suffix(".parquet")), tmp_path / "new"
    )
    (tmp_path / "new").replace(items)
    with refused(items, "SHA-256", "B.json"):
        pair_items(tmp_path, [RANDOM, QTUNING], "B")


def test_a_record_of_an_older_version_is_refused(tmp_path: Path) -> None:
    file = write_items(tmp_path, QTUNING, "B", item_rows([1, 0]))
    files.write_json(file, {key: value for key, value in files.read_json(file).items() if key != "items_hash"})
    with refused(file, "items_hash"):
        pair_items(tmp_path, [QTUNING, RANDOM], "B")
